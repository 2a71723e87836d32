//! What is asked of the weights beside a small loss.
//!
//! Weight decay is part of the [optimiser](crate::training::Sgd).

mod smoothness;

pub use smoothness::{Smoothness, SmoothnessKind, SmoothnessRecipe};
