//! The state of a unit, what one block does to it, and the trait of schemes.

use burn::tensor::Tensor;
pub use palinode_kernels::recurrence::{Drift, Role, Term, Update};
use std::fmt::Debug;

/// The state of a unit between two blocks: (Y, Z) for two streams, (X_{j−1}, X_j) for one state.
///
/// Gradients with respect to a state have the same form.
#[derive(Clone, Debug)]
pub struct State {
    /// Y or X_{j−1}: `[n, c, h, w]`.
    pub first: Tensor<4>,
    /// Z or X_j: `[n, c, h, w]`.
    pub second: Tensor<4>,
}

/// How a unit holds its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// The input is split in two halves (Y, Z) of its channels; the output joins them again.
    Two,
    /// The input is X₀, and the output is X_N. The state is (X_{j−1}, X_j).
    One,
}

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
