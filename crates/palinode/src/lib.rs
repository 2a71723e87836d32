//! Reversible residual networks.
#![forbid(unsafe_code)]

pub mod activation;
mod error;
pub mod network;
pub mod random;
pub mod residual;
pub mod reversible;
pub mod scheme;

pub use activation::Activation;
pub use error::{Error, Result};
