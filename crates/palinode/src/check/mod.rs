//! Checks for tests: derivatives, the reversal of a network, and user-defined residuals.

mod derivative;
mod repetition;
mod residual;
mod reversal;

pub use derivative::{Taylor, adjoint_error, taylor};
pub use repetition::repeats;
pub use residual::check_residual;
pub use reversal::reversal_errors;
