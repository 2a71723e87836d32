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

/// σ′ of every element of a tensor of any shape. For ReLU, σ′(0) = 0.
pub fn slope<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Relu => {
            let dtype = x.dtype();
            x.greater_scalar(0.0).float().cast(dtype)
        }
        Activation::Tanh => activation::tanh(x).powi_scalar(2).neg() + 1.0,
        Activation::Softplus => activation::sigmoid(x),
    }
}
