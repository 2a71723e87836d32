//! Checks for tests: derivatives, networks, their reversal, and user-defined residuals.

mod derivative;
mod network;
mod repetition;
mod residual;
mod reversal;

pub use derivative::{Taylor, adjoint_error, taylor};
pub use network::{Finding, check_network};
pub use repetition::repeats;
pub use residual::check_residual;
pub use reversal::reversal_errors;
