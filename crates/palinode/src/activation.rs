//! Activation functions on tensors. [`Activation`] documents the formulas and their derivatives.

use burn::tensor::{Tensor, activation};
pub use palinode_kernels::Activation;

/// Applies σ to every element of a tensor of any shape. Differentiable.
pub fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Relu => activation::relu(x),
        Activation::Tanh => activation::tanh(x),
        // max(x, 0) + log(1 + e^−|x|): no overflow for large x.
        Activation::Softplus => activation::relu(x.clone()) + x.abs().neg().exp().log1p(),
    }
}
