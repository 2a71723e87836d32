//! Convolutions by the kernels of the CPU.

use crate::autodiff::{Given, Variable, record, tensor, view};
use burn::tensor::Tensor;
use palinode_kernels::Context;
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::profile::Section;

/// Why the kernels cannot return an error here.
const FITS: &str = "the lengths of the arrays follow from a shape that was checked";

/// `None` if the node cannot be recorded on this autodiff graph.
pub(super) fn convolve(
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
    let mut given = Given::none();
    given.add(context, Some(weight));
    given.add(context, bias);
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
            let mut weight = weight_gradient(&kept, kernel, &view(kept_x), &gradient, into);
            given.send(&kept, &mut [&mut weight, &mut biases]);
            found[1] = Some(Variable::Array(tensor(weight, kept_weight.dims(), &device)));
            found[2] = Some(Variable::Vector(tensor(biases, [kernel.outputs], &device)));
        }
        found
    };
    record(context, Section::Convolutions, parents, output, vjp).ok()
}

/// `None` if the node cannot be recorded on this autodiff graph.
pub(super) fn adjoint(
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
    let mut given = Given::none();
    given.add(context, Some(weight));
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
            let mut weight = weight_gradient(&kept, kernel, &gradient, &view(kept_y), None);
            given.send(&kept, &mut [&mut weight]);
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
