//! How a unit is differentiated: three ways through it, on the same weights.
//!
//! | mode | kept between forward and backward | evaluations of F (forward + backward) |
//! |---|---|---|
//! | [`Stored`](Differentiation::Stored) | every activation | N + 0 |
//! | [`Checkpointed`](Differentiation::Checkpointed) | ⌈N/s⌉ states, s = ⌈√N⌉ | N + 2N |
//! | [`Reversible`](Differentiation::Reversible) | the last state | N + N |
//!
//! Gradients agree to rounding. The last two modes record one autodiff node per segment or unit. Its
//! backward pass works on small graphs of its own (`local`). What a residual's second evaluation needs to
//! repeat the first (the batch statistics of norms) is kept beside the states, see [`pass`](crate::pass).
//! Residuals with side effects of other kinds are refused in these modes.

mod blocks;
mod checkpointed;
mod differentiation;
mod evaluations;
mod forward;
mod fused;
mod last_state;
mod local;
mod reversed;
mod stored;

pub(crate) use blocks::Blocks;
pub use blocks::Kernels;
pub use differentiation::Differentiation;
pub use evaluations::Evaluations;
pub(crate) use evaluations::{Survival, UnitSite, value_of};
pub(crate) use forward::forward;
pub(crate) use fused::check_kernels;
pub(crate) use local::vjp_by_autodiff;
pub use palinode_kernels::{Algorithm, Precision};
