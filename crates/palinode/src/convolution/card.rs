//! Convolutions on a graphics card: values and input gradients by Burn, weight gradients by the kernels.

use super::config::ConvolutionConfig;
use super::plain;
use crate::autodiff::{Variable, record};
use crate::cube::{is_cube, weight_gradient};
use burn::tensor::{DType, Tensor};
use palinode_kernels::Context;
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::profile::Section;

/// Kx + b. `None` if Burn is to compute and differentiate it: outside a graph, in other types than f32, and on other
/// devices.
pub(super) fn convolve(
    context: &Context,
    kernel: ConvolutionKernel,
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<4>> {
    let tracked = x.is_tracked() || weight.is_tracked() || bias.is_some_and(Tensor::is_tracked);
    if !tracked || !fits(x) || !fits(weight) {
        return None;
    }
    let (kept_x, kept_weight) = (x.clone().inner(), weight.clone().inner());
    let inner_bias = bias.cloned().map(Tensor::inner);
    let output = plain::convolve(kept_x.clone(), kept_weight.clone(), inner_bias, config(kernel));
    // The number of parents is part of a node's type. Untracked zeros stand in for a missing bias.
    let bias = bias.cloned().unwrap_or_else(|| Tensor::zeros([kernel.outputs], &kept_x.device()));
    let parents =
        [Variable::Array(x.clone()), Variable::Array(weight.clone()), Variable::Vector(bias)];
    let vjp = move |gradient: Tensor<4>, [x_wanted, weight_wanted, bias_wanted]: [bool; 3]| {
        let mut found = [None, None, None];
        if bias_wanted {
            let sums = gradient.clone().sum_dim(3).sum_dim(2).sum_dim(0);
            found[2] = Some(Variable::Vector(sums.reshape([kernel.outputs])));
        }
        if weight_wanted {
            let shape = kept_weight.dims();
            let own = weight_gradient(kept_x, gradient.clone(), shape, kernel);
            found[1] = Some(Variable::Array(own));
        }
        if x_wanted {
            found[0] = Some(Variable::Array(plain::adjoint(
                gradient,
                kept_weight,
                kernel.size,
                config(kernel),
            )));
        }
        found
    };
    record(context, Section::Convolutions, parents, output, vjp).ok()
}

/// Kᵀy. `None` as in [`convolve`].
pub(super) fn adjoint(
    context: &Context,
    kernel: ConvolutionKernel,
    y: &Tensor<4>,
    weight: &Tensor<4>,
) -> Option<Tensor<4>> {
    if !(y.is_tracked() || weight.is_tracked()) || !fits(y) || !fits(weight) {
        return None;
    }
    let (kept_y, kept_weight) = (y.clone().inner(), weight.clone().inner());
    let output = plain::adjoint(kept_y.clone(), kept_weight.clone(), kernel.size, config(kernel));
    let parents = [Variable::Array(y.clone()), Variable::Array(weight.clone())];
    let vjp = move |gradient: Tensor<4>, [y_wanted, weight_wanted]: [bool; 2]| {
        // ⟨g, Kᵀy⟩ = ⟨Kg, y⟩, so the gradient with respect to y is Kg, and the gradient with respect
        // to K is that of ⟨Kg, y⟩.
        let mut found = [None, None];
        if weight_wanted {
            let shape = kept_weight.dims();
            let own = weight_gradient(gradient.clone(), kept_y, shape, kernel);
            found[1] = Some(Variable::Array(own));
        }
        if y_wanted {
            found[0] =
                Some(Variable::Array(plain::convolve(gradient, kept_weight, None, config(kernel))));
        }
        found
    };
    record(context, Section::Convolutions, parents, output, vjp).ok()
}

/// Whether the kernels can compute with a tensor.
fn fits(tensor: &Tensor<4>) -> bool {
    // The kernels count in 32 bits.
    let countable = u32::try_from(tensor.dims().iter().product::<usize>()).is_ok();
    tensor.dtype() == DType::F32 && countable && is_cube(&tensor.device())
}

/// Stride, padding and groups of a kernel.
fn config(kernel: ConvolutionKernel) -> ConvolutionConfig {
    let ConvolutionKernel { stride, padding, groups, .. } = kernel;
    ConvolutionConfig { stride, padding, groups, exact: false }
}
