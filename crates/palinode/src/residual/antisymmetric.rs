//! F(x) = σ((K − Kᵀ)x + b).

use super::convolution::{
    activate_normed, activate_normed_jvp, adjoint, convolve, initial_bias, initial_kernel, scaled,
};
use super::operator_norm::operator_norm;
use super::{Effects, Form, KernelForm, Pass, Residual, Role};
use crate::activation::Activation;
use crate::dropout::Dropout;
use crate::norm::BatchNorm;
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
    /// ε of the batch norm in place of the bias; `None` for a bias.
    #[config(default = "None")]
    pub norm: Option<f64>,
    /// Rate of the dropout after σ.
    #[config(default = "0.0")]
    pub dropout: f64,
}

/// The antisymmetric residual F(x) = σ((K − Kᵀ)x + b).
///
/// K − Kᵀ has purely imaginary eigenvalues, so the ODE Ẋ = F(X) is marginally stable. K − Kᵀ is again
/// a 3×3 convolution, so F costs one convolution. Its array is K minus the array of Kᵀ, which is K with
/// input and output swapped and both spatial axes reversed.
///
/// Parameters: `kernel` `[C, C, 3, 3]`, `bias` `[C]`; with batch norm, `norm` in place of `bias`.
/// Source: Chang et al. 2018, midpoint network.
#[derive(Module, Debug)]
pub struct Antisymmetric {
    /// K, `[C, C, 3, 3]` as `[out, in, row, column]`.
    pub kernel: Param<Tensor<4>>,
    /// b, `[C]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Batch norm in place of b.
    pub norm: Option<BatchNorm>,
    /// Dropout after σ.
    pub dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl AntisymmetricConfig {
    /// Trainable parameters: 9C² + C, or 9C² + 2C with batch norm.
    pub fn parameters(&self) -> usize {
        self.channels * (9 * self.channels + if self.norm.is_some() { 2 } else { 1 })
    }

    /// A residual with a truncated-normal kernel (std √(2/(9C))) and zero bias.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Antisymmetric {
        Antisymmetric {
            kernel: initial_kernel(self.channels, generator, device),
            bias: self.norm.is_none().then(|| initial_bias(self.channels, device)),
            norm: self.norm.map(|epsilon| BatchNorm::new(self.channels, epsilon, device)),
            dropout: Dropout::new(self.dropout),
            activation: self.activation,
        }
    }
}

impl Residual for Antisymmetric {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        let hidden = convolve(self.difference(), bias, x, pass);
        let value = activate_normed(self.activation, self.norm.as_ref(), hidden, pass);
        self.dropout.forward(value, pass)
    }

    fn jvp(&self, _: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let (difference, bias) = (self.difference(), self.bias.as_ref().map(Param::val));
        let hidden = convolve(difference.clone(), bias, x.clone(), pass);
        let v = convolve(difference, None, v.clone(), pass);
        Some(activate_normed_jvp(self.activation, self.norm.as_ref(), hidden, v, pass))
    }

    /// ‖K − Kᵀ‖, or ‖N(K − Kᵀ)‖ with the scale N of the norm.
    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        let (difference, norm) = (self.difference(), self.norm.as_ref());
        let kind = (&difference.device(), difference.dtype());
        let shape = [difference.dims()[0], size[0], size[1]];
        let map = |x| scaled(norm, convolve(difference.clone(), None, x, pass));
        let transposed = |y| adjoint(difference.clone(), None, scaled(norm, y), pass);
        Some(operator_norm(shape, kind, map, transposed))
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        if self.norm.is_some() || !self.dropout.is_off() {
            return None;
        }
        let (form, activation) = (Form::Antisymmetric, self.activation);
        Some(KernelForm { form, activation, input_bias: false })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

impl Antisymmetric {
    /// The array of K − Kᵀ.
    fn difference(&self) -> Tensor<4> {
        let kernel = self.kernel.val();
        kernel.clone() - kernel.swap_dims(0, 1).flip([2, 3])
    }
}
