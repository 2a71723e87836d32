//! Residuals with convolutions, norms and dropouts: derivatives, second evaluations, statistics.
#![allow(clippy::unwrap_used)]

mod case;
mod derivatives;
mod inception;
mod norms;
mod stochastic_depth;
#[path = "../support/mod.rs"]
mod support;
mod variants;
