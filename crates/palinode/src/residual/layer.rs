//! F(x) = σ(Kx + b).

use super::convolution::{adjoint, convolve, initial_bias, initial_kernel};
use super::{Effects, Form, KernelForm, Residual};
use crate::activation::{Activation, activate};
use crate::random::Generator;
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// Configuration of [`Layer`].
#[derive(Config, Debug)]
pub struct LayerConfig {
    /// Channels c of the stream the residual works on.
    pub channels: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
}

/// The single-layer residual F(x) = σ(Kx + b), with companion F*(x) = σ(Kᵀx + b).
///
/// Parameters: `kernel` `[c, c, 3, 3]`, `bias` `[c]`.
/// Source: Haber & Ruthotto 2017, the single-layer Hamiltonian network.
#[derive(Module, Debug)]
pub struct Layer {
    /// K, `[c, c, 3, 3]` as `[out, in, row, column]`.
    pub kernel: Param<Tensor<4>>,
    /// b, `[c]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    activation: Activation,
}

impl LayerConfig {
    /// A residual with a truncated-normal kernel (std √(2/(9c))) and zero bias.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Layer {
        Layer {
            kernel: initial_kernel(self.channels, generator, device),
            bias: initial_bias(self.channels, device),
            activation: self.activation,
        }
    }
}

impl Residual for Layer {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        activate(self.activation, convolve(self.kernel.val(), Some(self.bias.val()), x))
    }

    fn conjugate(&self, x: Tensor<4>) -> Tensor<4> {
        activate(self.activation, adjoint(self.kernel.val(), Some(self.bias.val()), x))
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        let (form, activation) = (Form::Layer, self.activation);
        Some(KernelForm { form, activation, input_bias: false })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
