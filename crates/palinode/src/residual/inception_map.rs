//! The linear map of the inception residuals, and its exact adjoint.

use super::Vjp;
use super::convolution::{initial_bias, initial_convolution};
use crate::Activation;
use crate::autodiff::{Given, Variable, View, on_kernels, record, tensor, view};
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode_kernels::Context;
use palinode_kernels::inception::{
    CONVOLUTIONS, EXTENTS, InceptionGradients, InceptionKernel, InceptionResidual,
};
use palinode_kernels::profile::Section;

/// The inception map A on four groups of g = c/4 channels. The first group passes unchanged; each of
/// the others has its own convolutions.
///
/// | channels | forward | adjoint |
/// |---|---|---|
/// | 0 … g | x | y |
/// | g … 2g | C₁x | C₁ᵀy |
/// | 2g … 3g | C₃R₃x | R₃ᵀC₃ᵀy |
/// | 3g … 4g | C₅R₅x | R₅ᵀC₅ᵀy |
///
/// C₁, R₃ and R₅ are 1×1, C₃ is 3×3 and C₅ is 5×5. All keep the image size, and there is no σ between
/// them. Each has a bias, which [`forward`](Self::forward) adds and [`adjoint`](Self::adjoint) does
/// not. A is the linear map without biases: ⟨Ax, y⟩ = ⟨x, Aᵀy⟩. The groups do not mix.
///
/// Parameters: `weight` `[g, g, k, k]` and `bias` `[g]` of `one`, `three_reduce`, `three`,
/// `five_reduce`, `five`, 37g² + 5g in total.
/// Source: the report, "Creative and Suggested Improvements".
#[derive(Module, Debug)]
pub struct InceptionMap {
    /// C₁, 1×1.
    pub one: Convolution,
    /// R₃, 1×1.
    pub three_reduce: Convolution,
    /// C₃, 3×3.
    pub three: Convolution,
    /// R₅, 1×1.
    pub five_reduce: Convolution,
    /// C₅, 5×5.
    pub five: Convolution,
}

/// The configuration of a k×k convolution that keeps the size.
fn same(extent: usize) -> ConvolutionConfig {
    ConvolutionConfig::new().with_padding([extent / 2; 2])
}

impl InceptionMap {
    /// A map of `channels` channels, which must be a multiple of four. This is not checked here;
    /// networks check it when they are built.
    pub fn new(channels: usize, generator: &mut Generator, device: &Device) -> Self {
        let group = channels / 4;
        let mut convolution = |extent: usize| {
            let shape = [group, group, extent];
            let mut convolution = initial_convolution(shape, same(extent), generator, device);
            convolution.bias = Some(initial_bias(group, device));
            convolution
        };
        Self {
            one: convolution(1),
            three_reduce: convolution(1),
            three: convolution(3),
            five_reduce: convolution(1),
            five: convolution(5),
        }
    }

    /// Ax plus the biases: `[n, c, h, w]` → `[n, c, h, w]`.
    ///
    /// # Panics
    /// If `x` does not have c channels.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if let Some(y) = self.by_kernel(&x, Direction::Forward, pass.context()) {
            return y;
        }
        let [identity, one, three, five] = groups(x);
        let one = self.one.forward(one, pass);
        let three = self.three.forward(self.three_reduce.forward(three, pass), pass);
        let five = self.five.forward(self.five_reduce.forward(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// Ax without biases: `[n, c, h, w]` → `[n, c, h, w]`.
    ///
    /// # Panics
    /// If `x` does not have c channels.
    pub fn linear(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [identity, one, three, five] = groups(x);
        let one = self.one.linear(one, pass);
        let three = self.three.linear(self.three_reduce.linear(three, pass), pass);
        let five = self.five.linear(self.five_reduce.linear(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// The number of channels c of what it maps, and the device and the type of its parameters.
    pub(super) fn kind(&self) -> (usize, Device, DType) {
        let weight = self.one.weight.val();
        (4 * weight.dims()[0], weight.device(), weight.dtype())
    }

    /// Aᵀy without biases: `[n, c, h, w]` → `[n, c, h, w]`.
    ///
    /// # Panics
    /// If `y` does not have c channels.
    pub fn adjoint(&self, y: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if let Some(x) = self.by_kernel(&y, Direction::Adjoint, pass.context()) {
            return x;
        }
        let [identity, one, three, five] = groups(y);
        let one = self.one.adjoint(one, pass);
        let three = self.three_reduce.adjoint(self.three.adjoint(three, pass), pass);
        let five = self.five_reduce.adjoint(self.five.adjoint(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// Aᵀσ(Ax + b) in one kernel, outside any graph. `None` if a graph must be recorded, and unless all
    /// tensors are in f32 on the CPU.
    pub(super) fn residual_value(
        &self,
        x: &Tensor<4>,
        activation: Activation,
        pass: &Pass,
    ) -> Option<Tensor<4>> {
        let kernel = self.kernel(x).filter(|_| !self.is_tracked(x))?;
        let numbers = self.numbers(Direction::Forward);
        let residual = numbers.residual(kernel, activation)?;
        let context = pass.context();
        let compute = || residual.value(context, &view(x.clone()));
        let value = context.profile().time(Section::Convolutions, compute).expect(FITS);
        Some(tensor(value, x.dims(), &x.clone().inner().device()))
    }

    /// Aᵀσ(Ax + b) and its vector–Jacobian products with v, in one kernel. `None` unless all tensors
    /// are in f32 on the CPU.
    pub(super) fn residual_vjp(
        &self,
        x: &Tensor<4>,
        v: &Tensor<4>,
        activation: Activation,
        pass: &Pass,
    ) -> Option<Vjp> {
        let (shape, device) = (x.dims(), x.device());
        // Before anything is read as f32.
        let kernel = self.kernel(x)?;
        let numbers = self.numbers(Direction::Forward);
        let residual = numbers.residual(kernel, activation)?;
        let (x, v) = (view(x.clone()), view(v.clone()));
        let context = pass.context();
        let compute = || residual.vjp(context, &x, &v);
        let mut found = context.profile().time(Section::Convolutions, compute).expect(FITS);
        context.complete(&mut arrays_of(&mut found.parameters));
        let flat = |values: Vec<f32>| {
            let length = [values.len()];
            tensor(values, length, &device)
        };
        let parameters = found.parameters.kernels.into_iter().zip(found.parameters.biases);
        Some(Vjp {
            value: tensor(found.value, shape, &device),
            input: tensor(found.input, shape, &device),
            parameters: parameters.flat_map(|(kernel, bias)| [flat(kernel), flat(bias)]).collect(),
        })
    }

    /// Whether the graph must record the map of x.
    fn is_tracked(&self, x: &Tensor<4>) -> bool {
        let parameters = self.parameters();
        let tracked = |(weight, bias): &(Tensor<4>, Option<Tensor<1>>)| {
            weight.is_tracked() || bias.as_ref().is_some_and(Tensor::is_tracked)
        };
        x.is_tracked() || parameters.iter().any(tracked)
    }

    /// The kernel for images of x's shape. `None` unless all tensors are in f32 on the CPU.
    fn kernel(&self, x: &Tensor<4>) -> Option<InceptionKernel> {
        let [images, channels, height, width] = x.dims();
        let group = channels / 4;
        let parameters = self.parameters();
        let on_kernels = on_kernels(x) && parameters.iter().all(|(weight, _)| on_kernels(weight));
        let fits = channels == 4 * group && parameters[0].0.dims() == [group, group, 1, 1];
        (on_kernels && fits).then_some(InceptionKernel { images, group, size: [height, width] })
    }

    fn numbers(&self, direction: Direction) -> Numbers {
        let parameters = self.parameters();
        Numbers {
            weights: parameters.each_ref().map(|(weight, _)| view(weight.clone())),
            biases: match direction {
                Direction::Forward => parameters.map(|(_, bias)| bias.map(view)),
                Direction::Adjoint => Default::default(),
            },
        }
    }

    /// All groups in one kernel. `None` unless all tensors are in f32 on the CPU, and if the node cannot
    /// be recorded on this autodiff graph.
    fn by_kernel(
        &self,
        from: &Tensor<4>,
        direction: Direction,
        context: &Context,
    ) -> Option<Tensor<4>> {
        let kernel = self.kernel(from)?;
        let (shape, group) = (from.dims(), kernel.group);
        let device = from.clone().inner().device();
        let parameters = self.parameters();
        let numbers = self.numbers(direction);
        let values = view(from.clone());
        let compute = || numbers.evaluate(context, kernel, &values, direction);
        let result = context.profile().time(Section::Convolutions, compute);
        let output = tensor(result, shape, &device);
        if !self.is_tracked(from) {
            return Some(output);
        }
        // The number of parents is part of a node's type. Untracked zeros stand in for unused biases.
        let bias_of = |index: usize| match (&parameters[index].1, direction) {
            (Some(bias), Direction::Forward) => bias.clone(),
            _ => Tensor::zeros([group], &device),
        };
        let parents: [Variable; 1 + 2 * CONVOLUTIONS] =
            std::array::from_fn(|parent| match parent {
                0 => Variable::Array(from.clone()),
                1..=CONVOLUTIONS => Variable::Array(parameters[parent - 1].0.clone()),
                _ => Variable::Vector(bias_of(parent - 1 - CONVOLUTIONS)),
            });
        let mut given = Given::none();
        parameters.iter().for_each(|(weight, _)| given.add(context, Some(weight)));
        if direction == Direction::Forward {
            parameters.iter().for_each(|(_, bias)| given.add(context, bias.as_ref()));
        }
        let (kept, context_kept) = (from.clone().inner(), context.clone());
        record(context, Section::Convolutions, parents, output, move |gradient, wanted| {
            let context = &context_kept;
            let mut found: [Option<Variable>; 1 + 2 * CONVOLUTIONS] = Default::default();
            let (gradient, from) = (view(gradient), view(kept));
            if wanted[0] {
                // ⟨g, Aᵀy⟩ = ⟨Ag, y⟩, so the gradient with respect to y is Ag, without biases.
                let input = match direction {
                    Direction::Forward => {
                        numbers.evaluate(context, kernel, &gradient, Direction::Adjoint)
                    }
                    Direction::Adjoint => {
                        kernel.value(context, &gradient, &numbers.weights(), None).expect(FITS)
                    }
                };
                found[0] = Some(Variable::Array(tensor(input, shape, &device)));
            }
            if wanted[1..].contains(&true) {
                let (biases, x, y) = match direction {
                    Direction::Forward => (numbers.biases(), &from, &gradient),
                    Direction::Adjoint => (None, &gradient, &from),
                };
                let weights = numbers.weights();
                let mut all =
                    kernel.gradients(context, x, y, &weights, biases.as_ref()).expect(FITS);
                given.send(context, &mut arrays_of(&mut all));
                for (index, (weight, bias)) in all.kernels.into_iter().zip(all.biases).enumerate() {
                    let extent = EXTENTS[index];
                    let weight = tensor(weight, [group, group, extent, extent], &device);
                    found[1 + index] = Some(Variable::Array(weight));
                    if direction == Direction::Forward {
                        let bias = tensor(bias, [group], &device);
                        found[1 + CONVOLUTIONS + index] = Some(Variable::Vector(bias));
                    }
                }
            }
            found
        })
        .ok()
    }

    /// The (weight, bias) pairs of `one`, `three_reduce`, `three`, `five_reduce` and `five`, in this
    /// order.
    pub fn parameters(&self) -> [(Tensor<4>, Option<Tensor<1>>); 5] {
        let all = [&self.one, &self.three_reduce, &self.three, &self.five_reduce, &self.five];
        all.map(|convolution| (convolution.weight.val(), convolution.bias.as_ref().map(Param::val)))
    }
}

/// All arrays of some gradients.
fn arrays_of(gradients: &mut InceptionGradients) -> Vec<&mut [f32]> {
    let arrays = gradients.kernels.iter_mut().chain(&mut gradients.biases);
    arrays.map(Vec::as_mut_slice).collect()
}

/// Why the kernels cannot return an error here.
const FITS: &str = "the shapes of the map's parameters match its channels";

/// Which of the two maps to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Ax plus the biases.
    Forward,
    /// Aᵀy.
    Adjoint,
}

/// The values of the parameters.
struct Numbers {
    weights: [View; CONVOLUTIONS],
    /// `None` for the adjoint.
    biases: [Option<View>; CONVOLUTIONS],
}

impl Numbers {
    fn weights(&self) -> [&[f32]; CONVOLUTIONS] {
        self.weights.each_ref().map(|weight| &**weight)
    }

    /// The biases; `None` unless every convolution has one.
    fn biases(&self) -> Option<[&[f32]; CONVOLUTIONS]> {
        let [one, three_reduce, three, five_reduce, five] =
            self.biases.each_ref().map(Option::as_deref);
        Some([one?, three_reduce?, three?, five_reduce?, five?])
    }

    /// The residual Aᵀσ(Ax + b); `None` unless every convolution has a bias.
    fn residual(
        &self,
        shape: InceptionKernel,
        activation: Activation,
    ) -> Option<InceptionResidual<'_>> {
        let (kernels, biases) = (self.weights(), self.biases()?);
        Some(InceptionResidual { shape, kernels, biases, activation })
    }

    fn evaluate(
        &self,
        context: &Context,
        kernel: InceptionKernel,
        from: &[f32],
        direction: Direction,
    ) -> Vec<f32> {
        let found = match direction {
            Direction::Forward => {
                kernel.value(context, from, &self.weights(), self.biases().as_ref())
            }
            Direction::Adjoint => kernel.adjoint(context, from, &self.weights()),
        };
        found.expect(FITS)
    }
}

/// The four contiguous quarters of the channels.
fn groups(x: Tensor<4>) -> [Tensor<4>; 4] {
    let group = x.dims()[1] / 4;
    std::array::from_fn(|index| x.clone().narrow(1, index * group, group))
}
