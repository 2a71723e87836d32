//! Reversible residual networks.
#![forbid(unsafe_code)]

pub mod activation;
pub mod data;
mod error;
mod file;
pub mod network;
pub mod random;
pub mod residual;
pub mod reversible;
pub mod scheme;
pub mod training;

pub use activation::Activation;
pub use error::{Error, Result};
