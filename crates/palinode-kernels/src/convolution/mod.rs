//! 2-D convolutions: value, adjoint and weight gradient.
//!
//! From the top down: [`ConvolutionKernel`] (`shape`) says what is computed, `run` checks the arrays and
//! chooses between `direct` sums and the Winograd algorithms (`square`). Direct sums go over padded
//! images as `plan` lays them out, in `packing`'s order, by `correlate` and `gradient`.
//!
//! Chunks of images depend on the shape alone, and their weight gradients are added in their order: the
//! same input gives the same bits for any number of threads.

mod correlate;
mod direct;
mod gradient;
mod packing;
mod plan;
mod run;
mod shape;
mod square;

pub(crate) use correlate::Correlate;
pub(crate) use gradient::WeightGradient;
pub(crate) use packing::Pass;
pub(crate) use plan::Plan;
pub use shape::ConvolutionKernel;
