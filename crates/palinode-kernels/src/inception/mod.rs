//! The inception map, its adjoint and gradients, and the residual made of it, a few images at a time inside
//! the cache.
//!
//! From the top down: [`InceptionKernel`] (`shape`) says what is computed; `map` and `residual` go through a batch,
//! each group of channels along its path (`paths`) of convolutions (`convolve`) of `planes`, and add up
//! gradients (`sums`).

mod convolve;
mod map;
mod paths;
mod planes;
mod residual;
mod shape;
mod sums;

pub use residual::{InceptionResidual, InceptionVjp};
pub use shape::{Arrays, CONVOLUTIONS, EXTENTS, InceptionGradients, InceptionKernel};
