//! The state of a unit between two blocks.

use burn::tensor::Tensor;

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
