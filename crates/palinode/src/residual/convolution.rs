//! The linear part of the built-in residuals: K and its adjoint, from one array.

use crate::convolution::{self, ConvolutionConfig};
use crate::random::Generator;
use burn::module::Param;
use burn::tensor::{Device, Tensor};

/// Stride 1 and zero padding 1. Exact: what the reversible mode is compared with.
const SAME: ConvolutionConfig =
    ConvolutionConfig { stride: [1, 1], padding: [1, 1], groups: 1, exact: true };

/// Kx: 3×3 convolution, stride 1, zero padding 1; K is `[c, c, 3, 3]` as `[out, in, row, column]`.
pub(super) fn convolve(kernel: Tensor<4>, bias: Option<Tensor<1>>, x: Tensor<4>) -> Tensor<4> {
    convolution::convolve(x, kernel, bias, SAME)
}

/// Kᵀy, the exact adjoint of [`convolve`] with the same array: ⟨Kx, y⟩ = ⟨x, Kᵀy⟩.
pub(super) fn adjoint(kernel: Tensor<4>, bias: Option<Tensor<1>>, y: Tensor<4>) -> Tensor<4> {
    let [.., height, width] = y.dims();
    let x = convolution::adjoint(y, kernel, [height, width], SAME);
    match bias {
        Some(bias) => x + bias.reshape([1, -1, 1, 1]),
        None => x,
    }
}

/// A kernel `[c, c, 3, 3]` drawn from the normal distribution of standard deviation √(2/(9c)),
/// truncated at two of them (the paper's authors' code).
pub(super) fn initial_kernel(
    channels: usize,
    generator: &mut Generator,
    device: &Device,
) -> Param<Tensor<4>> {
    let deviation = (2.0 / (9 * channels) as f64).sqrt();
    let shape = [channels, channels, 3, 3];
    Param::from_tensor(generator.truncated_normal(shape, deviation, device))
}

/// A bias `[c]` of zeros.
pub(super) fn initial_bias(channels: usize, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::zeros([channels], device))
}
