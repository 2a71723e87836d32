//! How a unit is differentiated: three modes for the same weights.
//!
//! | mode | kept between forward and backward | evaluations of F (forward + backward) |
//! |---|---|---|
//! | [`Stored`](Differentiation::Stored) | every activation | N + 0 |
//! | [`Checkpointed`](Differentiation::Checkpointed) | ⌈N/s⌉ states, s = ⌈√N⌉ | N + 2N |
//! | [`Reversible`](Differentiation::Reversible) | the last state | N + N |
//!
//! The gradients agree up to rounding. The last two modes record one autodiff node per segment or unit,
//! whose backward pass differentiates each residual on a separate small graph (`local`). The batch
//! statistics of norms are kept in addition to the states, so that a second evaluation of a residual
//! repeats the first; see [`pass`](crate::pass). These modes refuse residuals with other side effects.

mod blocks;
mod checkpointed;
mod differentiation;
mod evaluations;
mod forward;
mod found;
mod fused;
mod half;
mod last_state;
mod linearized;
mod local;
mod part;
mod reversed;
mod stored;
mod watch;

pub(crate) use blocks::Blocks;
pub(crate) use checkpointed::segment_length;
pub use differentiation::Differentiation;
pub use evaluations::Evaluations;
pub(crate) use evaluations::{ResidualPlace, Survival, UnitSite, check_like, value_of};
pub(crate) use forward::forward;
pub(crate) use fused::{check_context, is_fused, scratch_bytes};
pub use linearized::Linearized;
pub(crate) use linearized::central_difference;
pub(crate) use local::vjp_by_autodiff;
pub use palinode_kernels::{Algorithm, Precision};
pub use watch::Watch;
