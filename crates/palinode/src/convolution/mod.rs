//! Plain convolutions by `palinode-kernels`, forward and backward. On the CPU they are several times
//! as fast as Burn's.

#[cfg(feature = "cube")]
mod card;
mod config;
mod host;
mod plain;

pub use config::ConvolutionConfig;

use crate::autodiff::on_kernels;
use crate::pass::Pass;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use palinode_kernels::Context;

/// A 2-D convolution `[n, inputs, h, w]` → `[n, outputs, h′, w′]`, as defined by PyTorch's `Conv2d`.
///
/// In f32 on the CPU, `palinode-kernels` computes the value and the gradients. Otherwise Burn does.
///
/// Parameters: `weight` `[outputs, inputs/groups, kh, kw]`, optional `bias` `[outputs]`.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[outputs, inputs/groups, kh, kw]`.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: ConvolutionConfig,
}

impl ConvolutionConfig {
    /// A convolution with this configuration and these parameters.
    pub fn init(self, weight: Param<Tensor<4>>, bias: Option<Param<Tensor<1>>>) -> Convolution {
        Convolution { weight, bias, config: self }
    }
}

impl Convolution {
    /// Kx + b: `[n, inputs, h, w]` → `[n, outputs, h′, w′]`. Every evaluation of a training step uses
    /// the same algorithm, whether or not it records a gradient.
    ///
    /// # Panics
    /// If the shapes of `x`, the weight and the bias do not match.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        let weight = self.weight.val();
        convolve_by(pass.context(), x, weight, bias, self.config, self.config.quick_in(pass))
    }

    /// Kx without the bias, otherwise as [`forward`](Self::forward).
    ///
    /// # Panics
    /// If the shapes of `x` and the weight do not match.
    pub fn linear(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let weight = self.weight.val();
        convolve_by(pass.context(), x, weight, None, self.config, self.config.quick_in(pass))
    }

    /// Kᵀy without the bias: `[n, outputs, h, w]` → `[n, inputs, h, w]`, for a convolution that keeps
    /// the image size. Uses the same algorithm as [`forward`](Self::forward).
    ///
    /// # Panics
    /// If the shapes of `y` and the weight do not match.
    pub fn adjoint(&self, y: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [.., height, width] = y.dims();
        let quick = self.config.quick_in(pass);
        let weight = self.weight.val();
        adjoint_by(pass.context(), y, weight, [height, width], self.config, quick)
    }
}

/// The convolution of `x` `[n, inputs, h, w]` with `weight` `[outputs, inputs/groups, kh, kw]` and
/// `bias` `[outputs]`. Differentiable with respect to all three.
///
/// # Panics
/// If the shapes do not match.
pub fn convolve(
    context: &Context,
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    config: ConvolutionConfig,
) -> Tensor<4> {
    let quick = config.quick(x.is_tracked() || weight.is_tracked());
    convolve_by(context, x, weight, bias, config, quick)
}

fn convolve_by(
    context: &Context,
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    config: ConvolutionConfig,
    quick: bool,
) -> Tensor<4> {
    let [images, inputs, height, width] = x.dims();
    let operands = on_kernels(&x)
        && on_kernels(&weight)
        && bias.as_ref().is_none_or(|b| on_kernels(b) && b.dims() == [weight.dims()[0]]);
    if operands
        && let Some(kernel) = config.kernel([images, inputs], [height, width], &weight, quick)
        && let Some(y) = host::convolve(context, kernel, &x, &weight, bias.as_ref())
    {
        return y;
    }
    #[cfg(feature = "cube")]
    if let Some(kernel) = config.kernel([images, inputs], [height, width], &weight, quick)
        && let Some(y) = card::convolve(context, kernel, &x, &weight, bias.as_ref())
    {
        return y;
    }
    plain::convolve(x, weight, bias, config)
}

/// Kᵀy, the exact adjoint of [`convolve`] with the same weight and no bias: ⟨Kx, y⟩ = ⟨x, Kᵀy⟩.
///
/// `y` is `[n, outputs, h′, w′]`. The result is `[n, inputs, h, w]` with `size` = `[h, w]`, a size
/// that `convolve` maps to `[h′, w′]`. Differentiable with respect to `y` and `weight`.
///
/// # Panics
/// If the shapes do not match.
pub fn adjoint(
    context: &Context,
    y: Tensor<4>,
    weight: Tensor<4>,
    size: [usize; 2],
    config: ConvolutionConfig,
) -> Tensor<4> {
    let quick = config.quick(y.is_tracked() || weight.is_tracked());
    adjoint_by(context, y, weight, size, config, quick)
}

fn adjoint_by(
    context: &Context,
    y: Tensor<4>,
    weight: Tensor<4>,
    size: [usize; 2],
    config: ConvolutionConfig,
    quick: bool,
) -> Tensor<4> {
    let [images, outputs, rows, columns] = y.dims();
    let inputs = weight.dims()[1] * config.groups;
    if on_kernels(&y)
        && on_kernels(&weight)
        && let Some(kernel) = config.kernel([images, inputs], size, &weight, quick)
        && kernel.output_size() == Ok([rows, columns])
        && kernel.outputs == outputs
        && let Some(x) = host::adjoint(context, kernel, &y, &weight)
    {
        return x;
    }
    #[cfg(feature = "cube")]
    if let Some(kernel) = config.kernel([images, inputs], size, &weight, quick)
        && kernel.output_size() == Ok([rows, columns])
        && kernel.outputs == outputs
        && let Some(x) = card::adjoint(context, kernel, &y, &weight)
    {
        return x;
    }
    plain::adjoint(y, weight, size, config)
}
