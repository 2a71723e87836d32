//! F(x) = K₂σ(norm₂(K₁σ(norm₁(x)))): the block of ResNet and RevNet.

use super::convolution::{activate_normed, activate_normed_both, initial_convolution};
use super::{Effects, Pass, Residual, Role};
use crate::Activation;
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::dropout::Dropout;
use crate::norm::BatchNorm;
use crate::random::Generator;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Configuration of [`Basic`].
#[derive(Config, Debug)]
pub struct BasicConfig {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Stride of K₁, 1 or 2.
    #[config(default = 1)]
    pub stride: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Whether the residual begins with norm₁ and σ. The first residual of a network does not, since
    /// its input comes from the norm and σ of the stem.
    #[config(default = true)]
    pub preactivated: bool,
    /// ε of the norms.
    #[config(default = "1e-3")]
    pub epsilon: f64,
    /// Rate of the dropout before K₂.
    #[config(default = "0.0")]
    pub dropout: f64,
}

/// The basic residual of two 3×3 convolutions, pre-activated.
///
/// `[n, inputs, h, w]` → `[n, outputs, ⌈h/stride⌉, ⌈w/stride⌉]`. Only the first residual of a unit may
/// change the shape.
///
/// Parameters: `norm1`, `conv1.weight` `[outputs, inputs, 3, 3]`, `norm2`, `conv2.weight`
/// `[outputs, outputs, 3, 3]`.
/// Source: He et al. 2016, "Identity Mappings in Deep Residual Networks". F and G of RevNet (Gomez et
/// al. 2017) have the same form.
#[derive(Module, Debug)]
pub struct Basic {
    /// norm₁, `[inputs]`.
    pub norm1: Option<BatchNorm>,
    /// K₁.
    pub conv1: Convolution,
    /// norm₂, `[outputs]`.
    pub norm2: BatchNorm,
    /// K₂.
    pub conv2: Convolution,
    /// Dropout before K₂.
    pub dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl BasicConfig {
    /// Trainable parameters: two kernels and two batch norms, or one without norm₁.
    pub fn parameters(&self) -> usize {
        let norms = 2 * self.outputs + if self.preactivated { 2 * self.inputs } else { 0 };
        9 * self.outputs * (self.inputs + self.outputs) + norms
    }

    /// A residual with truncated-normal kernels (std √(2/(9·input channels))).
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Basic {
        let same = ConvolutionConfig::new().with_padding([1, 1]);
        let (inputs, outputs) = (self.inputs, self.outputs);
        let strided = same.with_stride([self.stride; 2]);
        let norm = |channels| BatchNorm::new(channels, self.epsilon, device);
        Basic {
            norm1: self.preactivated.then(|| norm(inputs)),
            conv1: initial_convolution([outputs, inputs, 3], strided, generator, device),
            norm2: norm(outputs),
            conv2: initial_convolution([outputs, outputs, 3], same, generator, device),
            dropout: Dropout::new(self.dropout),
            activation: self.activation,
        }
    }
}

impl Residual for Basic {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = match &self.norm1 {
            Some(norm) => activate_normed(self.activation, Some(norm), x, pass),
            None => x,
        };
        let hidden = self.conv1.forward(x, pass);
        let hidden = activate_normed(self.activation, Some(&self.norm2), hidden, pass);
        self.conv2.forward(self.dropout.forward(hidden, pass), pass)
    }

    fn jvp(&self, _: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let activated = |norm: &BatchNorm, x: Tensor<4>, v: Tensor<4>| {
            activate_normed_both(self.activation, norm, (x, v), pass)
        };
        let (x, v) = match &self.norm1 {
            Some(norm) => activated(norm, x.clone(), v.clone()),
            None => (x.clone(), v.clone()),
        };
        let hidden = self.conv1.forward(x, pass);
        let (_, v) = activated(&self.norm2, hidden, self.conv1.linear(v, pass));
        Some(self.conv2.linear(v, pass))
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
