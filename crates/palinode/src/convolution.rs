//! Plain convolutions by `palinode-kernels`, forward and backward. On the CPU they are several times
//! as fast as Burn's.

use crate::autodiff::{Variable, on_kernels, record, tensor, view};
use crate::pass::{Pass, Phase};
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::profile::Section;
use palinode_kernels::{Algorithm, Context};

/// Stride, padding and groups of a 2-D convolution.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub struct ConvolutionConfig {
    /// Vertical and horizontal stride.
    #[config(default = "[1, 1]")]
    pub stride: [usize; 2],
    /// Zero padding: rows above and below, columns left and right.
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
    /// Number of groups that the channels are split into.
    #[config(default = "1")]
    pub groups: usize,
    /// Whether training uses direct sums, as inference always does. Otherwise training may use
    /// Winograd's algorithm, which is two to three times as fast and slightly less exact.
    #[config(default = false)]
    pub exact: bool,
}

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
        && let Some(y) = convolve_on_kernels(context, kernel, &x, &weight, bias.as_ref())
    {
        return y;
    }
    let ConvolutionConfig { stride, padding, groups, .. } = config;
    conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], groups))
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
        && let Some(x) = adjoint_on_kernels(context, kernel, &y, &weight)
    {
        return x;
    }
    let ConvolutionConfig { stride, padding, groups, .. } = config;
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

impl ConvolutionConfig {
    /// Whether Winograd's algorithm may be used: in training, unless `exact` is set.
    fn quick(self, training: bool) -> bool {
        training && !self.exact
    }

    fn quick_in(self, pass: &Pass) -> bool {
        self.quick(pass.phase() != Phase::Inference)
    }

    /// The kernel for images of `size` and `weight`; `None` if their shapes do not match.
    fn kernel(
        self,
        [images, inputs]: [usize; 2],
        size: [usize; 2],
        weight: &Tensor<4>,
        quick: bool,
    ) -> Option<ConvolutionKernel> {
        let [outputs, per_group, rows, columns] = weight.dims();
        let Self { stride, padding, groups, .. } = self;
        let kernel = [rows, columns];
        let algorithm = if quick { Algorithm::quickest(size) } else { Algorithm::Direct };
        let shape = ConvolutionKernel {
            images,
            inputs,
            outputs,
            size,
            kernel,
            stride,
            padding,
            groups,
            algorithm,
        };
        (per_group * groups == inputs && shape.output_size().is_ok()).then_some(shape)
    }
}

/// Why the kernels cannot return an error here.
const FITS: &str = "the lengths of the arrays follow from a shape that was checked";

/// `None` if the node cannot be recorded on this autodiff graph.
fn convolve_on_kernels(
    context: &Context,
    kernel: ConvolutionKernel,
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<4>> {
    let [rows, columns] = kernel.output_size().ok()?;
    let shape = [kernel.images, kernel.outputs, rows, columns];
    let device = x.clone().inner().device();
    let (x_values, weights) = (view(x.clone()), view(weight.clone()));
    let biases = bias.cloned().map(view);
    let compute = || kernel.value(context, &x_values, &weights, biases.as_deref());
    let y = context.profile().time(Section::Convolutions, compute).expect(FITS);
    let output = tensor(y, shape, &device);
    if !x.is_tracked() && !weight.is_tracked() && !bias.is_some_and(Tensor::is_tracked) {
        return Some(output);
    }
    let with_bias = bias.is_some();
    // The number of parents is part of a node's type. Untracked zeros stand in for a missing bias.
    let bias = bias.cloned().unwrap_or_else(|| Tensor::zeros([kernel.outputs], &device));
    let (kept_x, kept_weight) = (x.clone().inner(), weight.clone().inner());
    let parents =
        [Variable::Array(x.clone()), Variable::Array(weight.clone()), Variable::Vector(bias)];
    let kept = context.clone();
    let vjp = move |gradient, [x_wanted, weight_wanted, bias_wanted]: [bool; 3]| {
        let gradient = view(gradient);
        let mut found = [None, None, None];
        if x_wanted {
            let x = kernel.adjoint(&kept, &gradient, &view(kept_weight.clone())).expect(FITS);
            found[0] = Some(Variable::Array(tensor(x, kept_x.dims(), &device)));
        }
        if weight_wanted || bias_wanted {
            let mut biases = vec![0.0; kernel.outputs];
            let into = with_bias.then_some(biases.as_mut_slice());
            let weight = weight_gradient(&kept, kernel, &view(kept_x), &gradient, into);
            found[1] = Some(Variable::Array(tensor(weight, kept_weight.dims(), &device)));
            found[2] = Some(Variable::Vector(tensor(biases, [kernel.outputs], &device)));
        }
        found
    };
    record(context, Section::Convolutions, parents, output, vjp).ok()
}

/// `None` if the node cannot be recorded on this autodiff graph.
fn adjoint_on_kernels(
    context: &Context,
    kernel: ConvolutionKernel,
    y: &Tensor<4>,
    weight: &Tensor<4>,
) -> Option<Tensor<4>> {
    let shape = [kernel.images, kernel.inputs, kernel.size[0], kernel.size[1]];
    let device = y.clone().inner().device();
    let (y_values, weights) = (view(y.clone()), view(weight.clone()));
    let compute = || kernel.adjoint(context, &y_values, &weights);
    let x = context.profile().time(Section::Convolutions, compute).expect(FITS);
    let output = tensor(x, shape, &device);
    if !y.is_tracked() && !weight.is_tracked() {
        return Some(output);
    }
    let (kept_y, kept_weight) = (y.clone().inner(), weight.clone().inner());
    let parents = [Variable::Array(y.clone()), Variable::Array(weight.clone())];
    let kept = context.clone();
    let vjp = move |gradient, [y_wanted, weight_wanted]: [bool; 2]| {
        // ⟨g, Kᵀy⟩ = ⟨Kg, y⟩, so the gradient with respect to y is Kg, and the gradient with respect
        // to K is that of ⟨Kg, y⟩.
        let gradient = view(gradient);
        let mut found = [None, None];
        if y_wanted {
            let y = kernel.value(&kept, &gradient, &view(kept_weight.clone()), None).expect(FITS);
            found[0] = Some(Variable::Array(tensor(y, kept_y.dims(), &device)));
        }
        if weight_wanted {
            let weight = weight_gradient(&kept, kernel, &gradient, &view(kept_y), None);
            found[1] = Some(Variable::Array(tensor(weight, kept_weight.dims(), &device)));
        }
        found
    };
    record(context, Section::Convolutions, parents, output, vjp).ok()
}

/// The gradient of ⟨Kx, y⟩ with respect to the weight. The gradient with respect to the bias is added
/// to `bias`.
fn weight_gradient(
    context: &Context,
    kernel: ConvolutionKernel,
    x: &[f32],
    y: &[f32],
    bias: Option<&mut [f32]>,
) -> Vec<f32> {
    let taps = kernel.kernel[0] * kernel.kernel[1];
    let mut gradient = vec![0.0; kernel.outputs * (kernel.inputs / kernel.groups) * taps];
    kernel.weight_gradient(context, x, y, &mut gradient, bias).expect(FITS);
    gradient
}
