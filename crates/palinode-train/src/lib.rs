//! Training of reversible residual networks: data sets, recipes, the training loop, checkpoints,
//! experiments and reports.
#![forbid(unsafe_code)]

pub mod analysis;
pub mod bench;
mod chart;
pub mod data;
mod error;
pub mod experiment;
#[cfg(feature = "mpi")]
pub mod mpi;
pub mod recipe;
pub mod report;
pub mod train;

pub use error::{Error, Result};
