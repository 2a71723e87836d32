//! The state of a unit, what one block does to it, and the trait of schemes.

use burn::tensor::Tensor;
pub use palinode_kernels::recurrence::{Drift, Role, Term, Update};
use serde::Serialize;
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

impl State {
    /// Both tensors, concatenated along the channels.
    pub fn joined(self) -> Tensor<4> {
        Tensor::cat(vec![self.first, self.second], 1)
    }

    /// The two halves of a tensor's channels.
    pub fn split(joined: Tensor<4>) -> Self {
        let channels = joined.dims()[1];
        let half = channels / 2;
        let first = joined.clone().narrow(1, 0, half);
        Self { first, second: joined.narrow(1, half, channels - half) }
    }
}

/// How a unit holds its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// The input is split in two halves (Y, Z) of its channels; the output joins them again.
    Two,
    /// The input is X₀, and the output is X_N. The state is (X_{j−1}, X_j).
    One,
}

/// The numbers hλ for which a scheme's solution of ẋ = λx stays bounded, where λ is an eigenvalue of the Jacobian of the
/// right-hand side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StabilityRegion {
    /// The imaginary numbers hλ with |hλ| below this limit.
    ImaginaryAxis(f64),
    /// |1 + hλ| ≤ 1.
    UnitDisc,
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

    /// Where the scheme is stable; `None` if nowhere, or if it is not known.
    fn stability_region(&self) -> Option<StabilityRegion> {
        None
    }

    /// For one state: whether a unit starts with X₋₁ = X₀ (`true`) or with X₋₁ = 0.
    fn starts_at_rest(&self) -> bool {
        true
    }
}
