//! The linear map of the inception residuals, and its exact adjoint.

use super::convolution::{initial_bias, initial_convolution};
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

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
        let [identity, one, three, five] = groups(x);
        let one = self.one.forward_in(one, pass);
        let three = self.three.forward_in(self.three_reduce.forward_in(three, pass), pass);
        let five = self.five.forward_in(self.five_reduce.forward_in(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// Aᵀy, without any bias: `[n, c, h, w]` → `[n, c, h, w]`.
    pub fn adjoint(&self, y: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [identity, one, three, five] = groups(y);
        let one = self.one.adjoint_in(one, pass);
        let three = self.three_reduce.adjoint_in(self.three.adjoint_in(three, pass), pass);
        let five = self.five_reduce.adjoint_in(self.five.adjoint_in(five, pass), pass);
        Tensor::cat(vec![identity, one, three, five], 1)
    }

    /// Kernels with the bias behind each, in the order `one`, `three_reduce`, `three`, `five_reduce`,
    /// `five`.
    pub fn parameters(&self) -> [(Tensor<4>, Option<Tensor<1>>); 5] {
        let all = [&self.one, &self.three_reduce, &self.three, &self.five_reduce, &self.five];
        all.map(|convolution| (convolution.weight.val(), convolution.bias.as_ref().map(Param::val)))
    }
}

/// The four contiguous quarters of the channels.
fn groups(x: Tensor<4>) -> [Tensor<4>; 4] {
    let group = x.dims()[1] / 4;
    std::array::from_fn(|index| x.clone().narrow(1, index * group, group))
}
