//! The linear map K of the built-in residuals and its adjoint Kᵀ, both from one array.

use crate::activation::{Activation, activate, slope};
use crate::convolution::{self, Convolution, ConvolutionConfig};
use crate::norm::BatchNorm;
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::Param;
use burn::tensor::{Device, Tensor};

/// Stride 1 and zero padding 1. Computed by direct sums, because the reversible mode is compared with
/// these results.
const SAME: ConvolutionConfig =
    ConvolutionConfig { stride: [1, 1], padding: [1, 1], groups: 1, exact: true };

/// Kx: 3×3 convolution, stride 1, zero padding 1; K is `[c, c, 3, 3]` as `[out, in, row, column]`.
pub(super) fn convolve(
    kernel: Tensor<4>,
    bias: Option<Tensor<1>>,
    x: Tensor<4>,
    pass: &Pass,
) -> Tensor<4> {
    convolution::convolve(pass.context(), x, kernel, bias, SAME)
}

/// Kᵀy plus `bias`, where Kᵀ is the exact adjoint of [`convolve`] with the same array:
/// ⟨Kx, y⟩ = ⟨x, Kᵀy⟩.
pub(super) fn adjoint(
    kernel: Tensor<4>,
    bias: Option<Tensor<1>>,
    y: Tensor<4>,
    pass: &Pass,
) -> Tensor<4> {
    let [.., height, width] = y.dims();
    let x = convolution::adjoint(pass.context(), y, kernel, [height, width], SAME);
    match bias {
        Some(bias) => x + bias.reshape([1, -1, 1, 1]),
        None => x,
    }
}

/// A kernel `[c, c, 3, 3]` drawn from the normal distribution with standard deviation √(2/(9c)),
/// truncated at two standard deviations. Source: the code of the paper's authors.
pub(super) fn initial_kernel(
    channels: usize,
    generator: &mut Generator,
    device: &Device,
) -> Param<Tensor<4>> {
    let deviation = (2.0 / (9 * channels) as f64).sqrt();
    let shape = [channels, channels, 3, 3];
    Param::from_tensor(generator.truncated_normal(shape, deviation, device))
}

/// A convolution `[outputs, inputs/groups, k, k]` without bias, drawn from the truncated normal
/// distribution with standard deviation √(2/(k²·inputs/groups)).
pub(super) fn initial_convolution(
    [outputs, inputs, extent]: [usize; 3],
    config: ConvolutionConfig,
    generator: &mut Generator,
    device: &Device,
) -> Convolution {
    let inputs = inputs / config.groups;
    let deviation = (2.0 / (extent * extent * inputs) as f64).sqrt();
    let shape = [outputs, inputs, extent, extent];
    let weight = generator.truncated_normal(shape, deviation, device);
    config.init(Param::from_tensor(weight), None)
}

/// A bias `[c]` of zeros.
pub(super) fn initial_bias(channels: usize, device: &Device) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::zeros([channels], device))
}

/// σ(norm(x)), or σ(x) without a norm.
pub(super) fn activate_normed(
    activation: Activation,
    norm: Option<&BatchNorm>,
    x: Tensor<4>,
    pass: &Pass,
) -> Tensor<4> {
    match (norm, activation) {
        (Some(norm), Activation::Relu) => norm.forward_relu(x, pass),
        (Some(norm), _) => activate(activation, norm.forward(x, pass)),
        (None, _) => activate(activation, x),
    }
}

/// The derivative of [`activate_normed`] at x, applied to v, with the running statistics.
pub(super) fn activate_normed_jvp(
    activation: Activation,
    norm: Option<&BatchNorm>,
    x: Tensor<4>,
    v: Tensor<4>,
    pass: &Pass,
) -> Tensor<4> {
    match norm {
        Some(norm) => slope(activation, norm.forward(x, pass)) * norm.scaled(v),
        None => slope(activation, x) * v,
    }
}

/// v, scaled as by the derivative of `norm` where there is one.
pub(super) fn scaled(norm: Option<&BatchNorm>, v: Tensor<4>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.scaled(v),
        None => v,
    }
}

/// σ(norm(x)) and its derivative applied to v.
pub(super) fn activate_normed_both(
    activation: Activation,
    norm: &BatchNorm,
    (x, v): (Tensor<4>, Tensor<4>),
    pass: &Pass,
) -> (Tensor<4>, Tensor<4>) {
    let jvp = activate_normed_jvp(activation, Some(norm), x.clone(), v, pass);
    (activate_normed(activation, Some(norm), x, pass), jvp)
}
