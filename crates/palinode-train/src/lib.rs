//! Training of reversible residual networks: data sets, recipes, the training loop, checkpoints,
//! experiments and reports.
#![forbid(unsafe_code)]

/// The README's example is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub mod bench;
mod chart;
pub mod data;
mod error;
pub mod experiment;
pub mod recipe;
pub mod report;
pub mod train;

pub use error::{Error, Result};
