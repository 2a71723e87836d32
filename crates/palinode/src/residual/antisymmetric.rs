//! F(x) = σ((K − Kᵀ)x + b).

use super::convolution::{convolve, initial_bias, initial_kernel};
use super::{Effects, Form, KernelForm, Residual};
use crate::activation::{Activation, activate};
use crate::random::Generator;
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// Configuration of [`Antisymmetric`].
#[derive(Config, Debug)]
pub struct AntisymmetricConfig {
    /// Channels C of the state.
    pub channels: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
}

/// The antisymmetric residual F(x) = σ((K − Kᵀ)x + b).
///
/// K − Kᵀ has purely imaginary eigenvalues, which keeps the ODE Ẋ = F(X) on the border of
/// stability. It is again a 3×3 convolution: its array is K minus K with input and output swapped
/// and both spatial axes reversed, so F costs one convolution.
///
/// Parameters: `kernel` `[C, C, 3, 3]`, `bias` `[C]`.
/// Source: Chang et al. 2018, midpoint network.
#[derive(Module, Debug)]
pub struct Antisymmetric {
    /// K, `[C, C, 3, 3]` as `[out, in, row, column]`.
    pub kernel: Param<Tensor<4>>,
    /// b, `[C]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    activation: Activation,
}

impl AntisymmetricConfig {
    /// A residual with a truncated-normal kernel (std √(2/(9C))) and zero bias.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Antisymmetric {
        Antisymmetric {
            kernel: initial_kernel(self.channels, generator, device),
            bias: initial_bias(self.channels, device),
            activation: self.activation,
        }
    }
}

impl Residual for Antisymmetric {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let kernel = self.kernel.val();
        let difference = kernel.clone() - kernel.swap_dims(0, 1).flip([2, 3]);
        activate(self.activation, convolve(difference, Some(self.bias.val()), x))
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        let (form, activation) = (Form::Antisymmetric, self.activation);
        Some(KernelForm { form, activation, input_bias: false })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
