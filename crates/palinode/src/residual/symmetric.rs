//! F(x) = Kᵀσ(K(x + a) + b).

use super::convolution::{adjoint, convolve, initial_bias, initial_kernel};
use super::{Effects, Form, KernelForm, Residual};
use crate::activation::{Activation, activate};
use crate::random::Generator;
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

/// Configuration of [`Symmetric`].
#[derive(Config, Debug)]
pub struct SymmetricConfig {
    /// Channels c of the stream the residual works on.
    pub channels: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Whether a bias `a` is added before K (layout `paper`).
    #[config(default = false)]
    pub input_bias: bool,
}

/// The two-layer residual F(x) = Kᵀσ(Kx + b), in layout `paper` F(x) = Kᵀσ(K(x + a) + b).
///
/// Kᵀ is the true adjoint of the same 3×3 convolution K, so the Jacobian KᵀDK is symmetric and,
/// with 0 ≤ σ′ ≤ 1, positive semi-definite with norm ≤ ‖K‖².
///
/// Parameters: `kernel` `[c, c, 3, 3]`, `bias` `[c]`, `input_bias` `[c]` where asked for.
/// Source: Chang et al. 2018, eq. for the two-layer Hamiltonian network.
#[derive(Module, Debug)]
pub struct Symmetric {
    /// K, `[c, c, 3, 3]` as `[out, in, row, column]`.
    pub kernel: Param<Tensor<4>>,
    /// b, `[c]`.
    pub bias: Param<Tensor<1>>,
    /// a, `[c]`.
    pub input_bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    activation: Activation,
}

impl SymmetricConfig {
    /// A residual with a truncated-normal kernel (std √(2/(9c))) and zero biases.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Symmetric {
        Symmetric {
            kernel: initial_kernel(self.channels, generator, device),
            bias: initial_bias(self.channels, device),
            input_bias: self.input_bias.then(|| initial_bias(self.channels, device)),
            activation: self.activation,
        }
    }
}

impl Residual for Symmetric {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match &self.input_bias {
            Some(a) => x + a.val().reshape([1, -1, 1, 1]),
            None => x,
        };
        let hidden = convolve(self.kernel.val(), Some(self.bias.val()), x);
        adjoint(self.kernel.val(), None, activate(self.activation, hidden))
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        let (activation, input_bias) = (self.activation, self.input_bias.is_some());
        Some(KernelForm { form: Form::Symmetric, activation, input_bias })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
