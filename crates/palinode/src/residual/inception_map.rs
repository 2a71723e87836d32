//! The linear map of the inception residuals, and its exact adjoint.

use super::convolution::{initial_bias, initial_convolution};
use crate::analysis::profile::{Part, time};
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::node::{Variable, View, on_kernels, record, tensor, view};
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use palinode_kernels::inception::{CONVOLUTIONS, EXTENTS, Inception as Kernel};

/// The inception map A: four groups of g = c/4 channels, each through convolutions of its own.
///
/// | channels | forward | adjoint |
/// |---|---|---|
/// | 0 … g | x | y |
/// | g … 2g | C₁x | C₁ᵀy |
/// | 2g … 3g | C₃R₃x | R₃ᵀC₃ᵀy |
/// | 3g … 4g | C₅R₅x | R₅ᵀC₅ᵀy |
///
/// C₁, R₃ and R₅ are 1×1, C₃ is 3×3, C₅ 5×5, none changes the size; no σ stands between. Every one
/// has a bias of its own, which [`forward`](Self::forward) adds and [`adjoint`](Self::adjoint) does
/// not: with A for the linear part, ⟨Ax, y⟩ = ⟨x, Aᵀy⟩. The groups do not mix.
///
/// Parameters: `weight` `[g, g, k, k]` and `bias` `[g]` of `one`, `three_reduce`, `three`,
/// `five_reduce`, `five`: 37g² + 5g numbers.
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
    /// For `channels` channels, a multiple of four (of the rest of a division, nothing is computed).
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
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if let Some(y) = self.by_kernel(&x, Direction::Forward) {
            return y;
        }
        let [identity, one, three, five] = groups(x);
        let one = self.one.forward_in(one, pass);
        let three = self.three.forward_in(self.three_reduce.forward_in(three, pass), pass);
        let five = self.five.forward_in(self.five_reduce.forward_in(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// Aᵀy, without any bias: `[n, c, h, w]` → `[n, c, h, w]`.
    pub fn adjoint(&self, y: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if let Some(x) = self.by_kernel(&y, Direction::Adjoint) {
            return x;
        }
        let [identity, one, three, five] = groups(y);
        let one = self.one.adjoint_in(one, pass);
        let three = self.three_reduce.adjoint_in(self.three.adjoint_in(three, pass), pass);
        let five = self.five_reduce.adjoint_in(self.five.adjoint_in(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// In f32 on the CPU, all groups in one kernel; `None` elsewhere, or where the graph is not one it
    /// can be recorded on.
    fn by_kernel(&self, from: &Tensor<4>, direction: Direction) -> Option<Tensor<4>> {
        let shape @ [images, channels, height, width] = from.dims();
        if !on_kernels(from) || !channels.is_multiple_of(4) {
            return None;
        }
        let kernel = Kernel { images, group: channels / 4, size: [height, width] };
        let device = from.clone().inner().device();
        let parameters = self.parameters();
        let weights = parameters.each_ref().map(|(weight, _)| view(weight.clone()));
        let biases = match direction {
            Direction::Forward => parameters.each_ref().map(|(_, bias)| bias.clone().map(view)),
            Direction::Adjoint => Default::default(),
        };
        let numbers = Numbers { weights, biases };
        let values = view(from.clone());
        let result = time(Part::Convolutions, || numbers.evaluate(kernel, &values, direction));
        let output = tensor(result, shape, &device);
        let tracked = |(weight, bias): &(Tensor<4>, Option<Tensor<1>>)| {
            weight.is_tracked() || bias.as_ref().is_some_and(Tensor::is_tracked)
        };
        if !from.is_tracked() && !parameters.iter().any(tracked) {
            return Some(output);
        }
        // A node has as many parents as its type says; biases that take no part are untracked ones.
        let group = channels / 4;
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
        let kept = from.clone().inner();
        record(Part::Convolutions, parents, output, move |slope, wanted| {
            let mut found: [Option<Variable>; 1 + 2 * CONVOLUTIONS] = Default::default();
            let (slope, from) = (view(slope), view(kept));
            if wanted[0] {
                // With respect to y, ⟨g, Aᵀy⟩ = ⟨Ag, y⟩ has the gradient Ag, A here without biases.
                let back = match direction {
                    Direction::Forward => numbers.evaluate(kernel, &slope, Direction::Adjoint),
                    Direction::Adjoint => kernel.value(&slope, &numbers.weights(), None),
                };
                found[0] = Some(Variable::Array(tensor(back, shape, &device)));
            }
            if wanted[1..].contains(&true) {
                let (weights, biases) = match direction {
                    Direction::Forward => {
                        let biases = numbers.biases();
                        kernel.gradients(&from, &slope, &numbers.weights(), biases.as_ref())
                    }
                    Direction::Adjoint => kernel.gradients(&slope, &from, &numbers.weights(), None),
                };
                for (index, (weight, bias)) in weights.into_iter().zip(biases).enumerate() {
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

    /// Kernels with the bias behind each, in the order `one`, `three_reduce`, `three`, `five_reduce`,
    /// `five`.
    pub fn parameters(&self) -> [(Tensor<4>, Option<Tensor<1>>); 5] {
        let all = [&self.one, &self.three_reduce, &self.three, &self.five_reduce, &self.five];
        all.map(|convolution| (convolution.weight.val(), convolution.bias.as_ref().map(Param::val)))
    }
}

/// Which of the two maps is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// Ax plus the biases.
    Forward,
    /// Aᵀy.
    Adjoint,
}

/// The parameters' numbers.
struct Numbers {
    weights: [View; CONVOLUTIONS],
    /// None in the adjoint.
    biases: [Option<View>; CONVOLUTIONS],
}

impl Numbers {
    fn weights(&self) -> [&[f32]; CONVOLUTIONS] {
        self.weights.each_ref().map(|weight| &**weight)
    }

    /// `None` unless every convolution has one.
    fn biases(&self) -> Option<[&[f32]; CONVOLUTIONS]> {
        let all = self.biases.iter().all(Option::is_some);
        all.then(|| self.biases.each_ref().map(|bias| bias.as_deref().unwrap_or_default()))
    }

    fn evaluate(&self, kernel: Kernel, from: &[f32], direction: Direction) -> Vec<f32> {
        match direction {
            Direction::Forward => kernel.value(from, &self.weights(), self.biases().as_ref()),
            Direction::Adjoint => kernel.adjoint(from, &self.weights()),
        }
    }
}

/// The four contiguous quarters of the channels.
fn groups(x: Tensor<4>) -> [Tensor<4>; 4] {
    let group = x.dims()[1] / 4;
    std::array::from_fn(|index| x.clone().narrow(1, index * group, group))
}
