//! Plain convolutions with a backward pass of our own, several times as fast on the CPU as Burn's.

use crate::analysis::profile::{Part, time};
use crate::node::{Variable, on_kernels, record, tensor, values};
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use palinode_kernels::convolution::Convolution as Kernel;

/// Step, padding and groups of a 2-D convolution.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub struct ConvolutionConfig {
    /// Step from result to result, down and across.
    #[config(default = "[1, 1]")]
    pub stride: [usize; 2],
    /// Zeros around the input, above and below, left and right.
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
    /// Groups that the channels are split into.
    #[config(default = "1")]
    pub groups: usize,
}

/// A 2-D convolution `[n, inputs, h, w]` → `[n, outputs, h′, w′]`, as PyTorch's `Conv2d` has it.
///
/// In f32 on the CPU value and gradients are computed by `palinode-kernels`; elsewhere by Burn.
///
/// Parameters: `weight` `[outputs, inputs/groups, kh, kw]`, `bias` `[outputs]` where wanted.
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
    /// A convolution with these weights.
    pub fn init(self, weight: Param<Tensor<4>>, bias: Option<Param<Tensor<1>>>) -> Convolution {
        Convolution { weight, bias, config: self }
    }
}

impl Convolution {
    /// The convolution of `x`.
    ///
    /// # Panics
    /// As Burn's: if the shapes of `x` and the weight do not fit each other.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        convolve(x, self.weight.val(), self.bias.as_ref().map(Param::val), self.config)
    }
}

/// The convolution of `x` with `weight` `[outputs, inputs/groups, kh, kw]` and `bias` `[outputs]`,
/// differentiable with respect to all three.
///
/// # Panics
/// As Burn's: if the shapes do not fit each other.
pub fn convolve(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    config: ConvolutionConfig,
) -> Tensor<4> {
    let ours = if on_kernels(&x) { shape(&x, &weight, config) } else { None };
    if let Some((kernel, size)) = ours {
        let recorded = on_kernels_of(kernel, size, x.clone(), weight.clone(), bias.clone());
        if let Some(output) = recorded {
            return output;
        }
    }
    let ConvolutionConfig { stride, padding, groups } = config;
    conv2d(x, weight, bias, ConvOptions::new(stride, padding, [1, 1], groups))
}

/// The convolution's shape and the size of its output, if the arrays fit each other.
fn shape(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    config: ConvolutionConfig,
) -> Option<(Kernel, [usize; 2])> {
    let [images, inputs, height, width] = x.dims();
    let [outputs, per_group, rows, columns] = weight.dims();
    let ConvolutionConfig { stride, padding, groups } = config;
    let size = [height, width];
    let kernel = [rows, columns];
    let shape = Kernel { images, inputs, outputs, size, kernel, stride, padding, groups };
    let output = shape.output_size().ok()?;
    (per_group * groups == inputs).then_some((shape, output))
}

/// By the kernels; `None` where the graph is not one they can be recorded on.
fn on_kernels_of(
    kernel: Kernel,
    [rows, columns]: [usize; 2],
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Option<Tensor<4>> {
    let shape = [kernel.images, kernel.outputs, rows, columns];
    let device = x.clone().inner().device();
    let mut y = vec![0.0; shape.iter().product()];
    let (x_values, weights) = (values(x.clone()), values(weight.clone()));
    let biases = bias.clone().map(values);
    time(Part::Convolutions, || {
        kernel.forward(&x_values, &weights, biases.as_deref(), &mut y);
    });
    let output = tensor(y, shape, &device);
    let tracked =
        x.is_tracked() || weight.is_tracked() || bias.as_ref().is_some_and(Tensor::is_tracked);
    if !tracked {
        return Some(output);
    }
    let with_bias = bias.is_some();
    // A node has as many parents as its type says; a bias that is not there is an untracked one.
    let bias = bias.unwrap_or_else(|| Tensor::zeros([kernel.outputs], &device));
    let (kept_x, kept_weight) = (x.clone().inner(), weight.clone().inner());
    let parents = [Variable::Array(x), Variable::Array(weight), Variable::Vector(bias)];
    record(
        Part::Convolutions,
        parents,
        output,
        move |slope, [x_wanted, weight_wanted, bias_wanted]| {
            let (x_shape, weight_shape) = (kept_x.dims(), kept_weight.dims());
            let slopes = values(slope);
            let mut found = [None, None, None];
            if x_wanted {
                let mut gradient = vec![0.0; x_shape.iter().product()];
                kernel.input_gradient(&slopes, &values(kept_weight), &mut gradient);
                found[0] = Some(Variable::Array(tensor(gradient, x_shape, &device)));
            }
            if weight_wanted || bias_wanted {
                let mut gradient = vec![0.0; weight_shape.iter().product()];
                let mut biases = vec![0.0; kernel.outputs];
                let into = with_bias.then_some(biases.as_mut_slice());
                kernel.weight_gradient(&values(kept_x), &slopes, &mut gradient, into);
                found[1] = Some(Variable::Array(tensor(gradient, weight_shape, &device)));
                found[2] = Some(Variable::Vector(tensor(biases, [kernel.outputs], &device)));
            }
            found
        },
    )
    .ok()
}
