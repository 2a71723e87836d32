//! Residuals with convolutions, norms and dropouts inside: derivatives, repetition, statistics.
#![allow(clippy::unwrap_used)]

mod case;
mod inception;
mod norms;
mod slopes;
mod stochastic_depth;
#[path = "../support/mod.rs"]
mod support;
mod variants;
