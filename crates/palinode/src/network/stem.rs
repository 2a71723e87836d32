//! The first convolution.

use crate::convolution::{ConvolutionConfig, convolve};
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// 3×3 convolution `[n, C_in, h, w]` → `[n, C₁, h, w]`, stride 1, zero padding 1.
///
/// Parameters: `weight` `[C₁, C_in, 3, 3]`, `bias` `[C₁]` (layout `report` only).
#[derive(Module, Debug)]
pub struct Stem {
    /// `[C₁, C_in, 3, 3]`.
    pub weight: Param<Tensor<4>>,
    /// `[C₁]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Stem {
    /// A stem with He initialisation (normal, std √(2/(9·C_in))) and zero bias, if it has a bias.
    pub fn new(
        inputs: usize,
        outputs: usize,
        with_bias: bool,
        generator: &mut Generator,
        device: &Device,
    ) -> Self {
        let deviation = (2.0 / (9 * inputs) as f64).sqrt();
        let weight = generator.normal([outputs, inputs, 3, 3], deviation, device);
        let bias = || Param::from_tensor(Tensor::zeros([outputs], device));
        Self { weight: Param::from_tensor(weight), bias: with_bias.then(bias) }
    }

    /// The convolution of x.
    ///
    /// # Panics
    /// If `x` does not have C_in channels.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        let config = ConvolutionConfig::new().with_padding([1, 1]);
        convolve(pass.context(), x, self.weight.val(), bias, config)
    }
}
