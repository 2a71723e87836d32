//! The naive twins of all kernels: whole units by plain loops, with every state stored, in the scalar type of
//! the caller's choice.
//!
//! Nothing here is shared with the fast paths but the types of shapes: the formulas are written out a second
//! time, from the papers, so that an error in one of the two cannot hide. They are there to be compared with,
//! so they panic on arrays that do not fit.

mod convolution;
mod inception;
mod recurrence;
mod residual;
mod shape;
mod unit;

pub use convolution::{adjoint, convolve, weight_gradient};
pub use inception::{inception, inception_adjoint, inception_gradients};
pub use recurrence::Recurrence;
pub use residual::{ReferenceResidual, ResidualGradient};
pub use shape::Shape;
pub use unit::{ReferenceGradient, ReferenceState, ReferenceUnit};
