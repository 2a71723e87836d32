//! Checks that a network is what it claims to be: reversal, derivatives, and residuals of the user's own.

mod derivative;
mod residual;
mod reversal;

pub use derivative::{Taylor, adjoint_error, taylor};
pub use residual::check_residual;
pub use reversal::reversal_errors;
