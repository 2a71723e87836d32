//! What one block does to the state, and the contract of a scheme.

use super::state::Streams;
pub use palinode_kernels::recurrence::{Drift, Role, Term, Update};
use std::fmt::Debug;

/// A scheme: a recurrence over the blocks of a unit.
pub trait Scheme: Debug + Send + Sync + 'static {
    /// How the state is held.
    fn streams(&self) -> Streams;

    /// Residuals with their own parameters in one block.
    fn residuals_per_block(&self) -> usize;

    /// What block `block` (from 0) does.
    fn update(&self, block: usize) -> Update;

    /// h; 1 where there is no time.
    fn time_step(&self) -> f64 {
        1.0
    }

    /// Whether a block can be undone.
    fn is_reversible(&self) -> bool {
        true
    }

    /// For one state: whether X_{−1} is X₀ (`true`) or 0 where a unit starts.
    fn starts_at_rest(&self) -> bool {
        true
    }
}
