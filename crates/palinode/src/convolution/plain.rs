//! Convolutions by Burn's operations.

use super::config::ConvolutionConfig;
use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

/// Kx + b.
pub(super) fn convolve(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    config: ConvolutionConfig,
) -> Tensor<4> {
    let ConvolutionConfig { stride, padding, groups, .. } = config;
    conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], groups))
}

/// Kᵀy, with images of `size`.
pub(super) fn adjoint(
    y: Tensor<4>,
    weight: Tensor<4>,
    size: [usize; 2],
    config: ConvolutionConfig,
) -> Tensor<4> {
    let ConvolutionConfig { stride, padding, groups, .. } = config;
    let [.., rows, columns] = y.dims();
    let [.., kernel_rows, kernel_columns] = weight.dims();
    // The smallest image that the convolution maps to y's size; the rest of `size` is output padding.
    let smallest = |axis: usize, results: usize, kernel: usize| {
        (results.saturating_sub(1) * stride[axis] + kernel).saturating_sub(2 * padding[axis])
    };
    let smallest = [smallest(0, rows, kernel_rows), smallest(1, columns, kernel_columns)];
    let output_padding = [0, 1].map(|axis| size[axis].saturating_sub(smallest[axis]));
    let options = ConvTransposeOptions::new(stride, padding, output_padding, [1, 1], groups);
    conv_transpose2d(y, weight, None, options)
}
