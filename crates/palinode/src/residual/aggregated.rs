//! F(x) = K₃σ(norm₃(K₂σ(norm₂(K₁σ(norm₁(x)))))) with a grouped K₂: the block of ResNeXt.

use super::convolution::{activate_normed, activate_normed_both, initial_convolution};
use super::{Effects, Pass, Residual, Role};
use crate::Activation;
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::norm::BatchNorm;
use crate::random::Generator;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Configuration of [`Aggregated`].
#[derive(Config, Debug)]
pub struct AggregatedConfig {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Channels D of the grouped convolution.
    pub bottleneck: usize,
    /// Number of its groups (the cardinality), a divisor of D.
    pub groups: usize,
    /// Stride of the grouped convolution, 1 or 2.
    #[config(default = 1)]
    pub stride: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Whether the residual begins with norm₁ and σ.
    #[config(default = true)]
    pub preactivated: bool,
    /// ε of the norms.
    #[config(default = "1e-3")]
    pub epsilon: f64,
}

/// Aggregated transformations, pre-activated: 1×1 to D channels, grouped 3×3, 1×1 to `outputs`
/// channels.
///
/// `[n, inputs, h, w]` → `[n, outputs, ⌈h/stride⌉, ⌈w/stride⌉]`.
///
/// Parameters: `norm1`, `conv1.weight` `[D, inputs, 1, 1]`, `norm2`, `conv2.weight`
/// `[D, D/groups, 3, 3]`, `norm3`, `conv3.weight` `[outputs, D, 1, 1]`.
/// Source: Xie et al. 2017, form (c).
#[derive(Module, Debug)]
pub struct Aggregated {
    /// norm₁, `[inputs]`.
    pub norm1: Option<BatchNorm>,
    /// K₁, 1×1.
    pub conv1: Convolution,
    /// norm₂, `[D]`.
    pub norm2: BatchNorm,
    /// K₂, grouped 3×3.
    pub conv2: Convolution,
    /// norm₃, `[D]`.
    pub norm3: BatchNorm,
    /// K₃, 1×1.
    pub conv3: Convolution,
    #[module(skip)]
    activation: Activation,
}

impl AggregatedConfig {
    /// Trainable parameters: three kernels and three batch norms, or two without norm₁.
    pub fn parameters(&self) -> usize {
        let d = self.bottleneck;
        let kernels = d * (self.inputs + 9 * d / self.groups.max(1) + self.outputs);
        kernels + 4 * d + if self.preactivated { 2 * self.inputs } else { 0 }
    }

    /// A residual with truncated-normal kernels (std √(2/(k²·input channels of a group))).
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Aggregated {
        let norm = |channels| BatchNorm::new(channels, self.epsilon, device);
        let (inputs, outputs, d) = (self.inputs, self.outputs, self.bottleneck);
        let point = ConvolutionConfig::new();
        let grouped = ConvolutionConfig::new()
            .with_padding([1, 1])
            .with_stride([self.stride; 2])
            .with_groups(self.groups);
        Aggregated {
            norm1: self.preactivated.then(|| norm(inputs)),
            conv1: initial_convolution([d, inputs, 1], point, generator, device),
            norm2: norm(d),
            conv2: initial_convolution([d, d, 3], grouped, generator, device),
            norm3: norm(d),
            conv3: initial_convolution([outputs, d, 1], point, generator, device),
            activation: self.activation,
        }
    }
}

impl Residual for Aggregated {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let activate = |norm: &BatchNorm, x| activate_normed(self.activation, Some(norm), x, pass);
        let x = match &self.norm1 {
            Some(norm) => activate(norm, x),
            None => x,
        };
        let narrow = activate(&self.norm2, self.conv1.forward(x, pass));
        let mixed = activate(&self.norm3, self.conv2.forward(narrow, pass));
        self.conv3.forward(mixed, pass)
    }

    fn jvp(&self, _: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let activated = |norm: &BatchNorm, x: Tensor<4>, v: Tensor<4>| {
            activate_normed_both(self.activation, norm, (x, v), pass)
        };
        let (x, v) = match &self.norm1 {
            Some(norm) => activated(norm, x.clone(), v.clone()),
            None => (x.clone(), v.clone()),
        };
        let narrow = (self.conv1.forward(x, pass), self.conv1.linear(v, pass));
        let (x, v) = activated(&self.norm2, narrow.0, narrow.1);
        let mixed = (self.conv2.forward(x, pass), self.conv2.linear(v, pass));
        let (_, v) = activated(&self.norm3, mixed.0, mixed.1);
        Some(self.conv3.linear(v, pass))
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
