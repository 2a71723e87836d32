//! Reversible residual networks, trained without storing activations.
//!
//! A residual network is a discretised ODE. If the integration scheme has an inverse, the backward
//! pass can reconstruct the activations, so the forward pass does not store them. Three choices are
//! independent of each other:
//!
//! * what is integrated: a [residual], either a built-in one or any Burn module of your own;
//! * how it is integrated: a [scheme];
//! * how it is differentiated: a [mode](reversible::Differentiation), which is stored, checkpointed
//!   or reversible. All modes use the same weights and give the same gradients up to rounding.
//!
//! ```
//! use palinode::network::{NetworkConfig, Phase};
//! use palinode::reversible::Differentiation;
//! use palinode::tensor::{Device, Tensor};
//!
//! # fn main() -> palinode::Result<()> {
//! let config = NetworkConfig::named("hamiltonian")?
//!     .for_data(1, [32, 32], 10)
//!     .with_units([2, 2, 2], [8, 16, 32]);
//! let device = Device::flex().autodiff();
//! let network = config.init(42, Differentiation::Reversible, &device)?;
//! let images = Tensor::<4>::zeros([4, 1, 32, 32], &device);
//! let logits = network.forward(images, Phase::Training { seed: 42, step: 0 })?;
//! assert_eq!(logits.dims(), [4, 10]);
//! let gradients = logits.sum().backward();
//! assert!(network.stem.weight.val().grad(&gradients).is_some());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

/// The examples on these pages are compiled and run as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../README.md")]
    struct CrateReadme;
    #[doc = include_str!("../../../docs/your-own-residual.md")]
    struct YourOwnResidual;
    #[doc = include_str!("../../../docs/upstream.md")]
    struct Upstream;
}

pub mod activation;
mod autodiff;
pub mod check;
pub mod convolution;
#[cfg(feature = "cube")]
mod cube;
pub mod device;
pub mod dropout;
mod error;
pub mod file;
pub mod memory;
pub mod network;
pub mod norm;
pub mod pass;
pub mod precision;
pub mod random;
pub mod ranks;
pub mod residual;
pub mod reversible;
pub mod scheme;
pub mod wording;

pub use activation::Activation;
/// Burn, in the version that this library uses.
pub use burn;
pub use burn::tensor;
pub use error::{Error, Result};
pub use palinode_kernels::heap;
pub use palinode_kernels::{Context, ContextBuilder, Isa, Microbatches, NormStatistics};
