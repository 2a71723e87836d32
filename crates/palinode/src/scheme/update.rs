//! What one block does to the state, and the trait of schemes.

use super::state::Streams;
pub use palinode_kernels::recurrence::{Drift, Role, Term, Update};
use std::fmt::Debug;

/// A scheme: a recurrence over the blocks of a unit.
pub trait Scheme: Debug + Send + Sync + 'static {
    /// How a unit holds its state.
    fn streams(&self) -> Streams;

    /// The number of residuals in one block, each with its own parameters.
    fn residuals_per_block(&self) -> usize;

    /// The update of block `block`, counted from 0.
    fn update(&self, block: usize) -> Update;

    /// The time step h, or 1 for a scheme without one.
    fn time_step(&self) -> f64 {
        1.0
    }

    /// Whether every update has an inverse.
    fn is_reversible(&self) -> bool {
        true
    }

    /// For one state: whether a unit starts with X₋₁ = X₀ (`true`) or with X₋₁ = 0.
    fn starts_at_rest(&self) -> bool {
        true
    }
}
