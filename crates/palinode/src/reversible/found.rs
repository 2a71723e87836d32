//! What the backward pass of a unit finds.

use super::watch::Fingerprint;
use burn::tensor::Tensor;

/// What the backward pass of a unit finds.
pub(super) struct Reversed {
    /// What is kept of the state before the first block, reconstructed, if it is watched.
    pub after: Option<Fingerprint>,
    /// The gradient with respect to the input.
    pub gradient: Tensor<4>,
    /// The gradients with respect to the parameters, flattened, in visiting order.
    pub parameters: Vec<Tensor<1>>,
}
