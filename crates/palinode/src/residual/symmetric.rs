//! F(x) = Kᵀσ(K(x + a) + b).

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
    /// ε of the batch norms in place of the biases; `None` for biases.
    #[config(default = "None")]
    pub norm: Option<f64>,
    /// Rate of the dropout after σ.
    #[config(default = "0.0")]
    pub dropout: f64,
}

/// The two-layer residual F(x) = Kᵀσ(Kx + b), or F(x) = Kᵀσ(K(x + a) + b) in layout `paper`.
///
/// Kᵀ is the true adjoint of the same 3×3 convolution K, so the Jacobian KᵀDK is symmetric and,
/// with 0 ≤ σ′ ≤ 1, positive semi-definite with norm ≤ ‖K‖².
///
/// With batch norm, each bias is replaced by a norm: F(x) = Kᵀσ(norm(K input_norm(x))). The dropout
/// follows σ.
///
/// Parameters: `kernel` `[c, c, 3, 3]`, `bias` `[c]`, optional `input_bias` `[c]`; with batch norm,
/// `norm` and `input_norm` in place of the biases.
/// Source: Chang et al. 2018, two-layer Hamiltonian network.
#[derive(Module, Debug)]
pub struct Symmetric {
    /// K, `[c, c, 3, 3]` as `[out, in, row, column]`.
    pub kernel: Param<Tensor<4>>,
    /// b, `[c]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// a, `[c]`.
    pub input_bias: Option<Param<Tensor<1>>>,
    /// Batch norm in place of b.
    pub norm: Option<BatchNorm>,
    /// Batch norm in place of a.
    pub input_norm: Option<BatchNorm>,
    /// Dropout after σ.
    pub dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl SymmetricConfig {
    /// Trainable parameters: 9c² plus c per bias, or 9c² plus 2c per batch norm.
    pub fn parameters(&self) -> usize {
        let biases = self.channels * if self.input_bias { 2 } else { 1 };
        9 * self.channels.pow(2) + biases * if self.norm.is_some() { 2 } else { 1 }
    }

    /// A residual with a truncated-normal kernel (std √(2/(9c))) and zero biases.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Symmetric {
        let bias = |wanted: bool| wanted.then(|| initial_bias(self.channels, device));
        let norm = |wanted: bool| {
            let epsilon = self.norm.filter(|_| wanted)?;
            Some(BatchNorm::new(self.channels, epsilon, device))
        };
        Symmetric {
            kernel: initial_kernel(self.channels, generator, device),
            bias: bias(self.norm.is_none()),
            input_bias: bias(self.norm.is_none() && self.input_bias),
            norm: norm(true),
            input_norm: norm(self.input_bias),
            dropout: Dropout::new(self.dropout),
            activation: self.activation,
        }
    }
}

impl Residual for Symmetric {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let hidden = self.hidden(x, pass);
        let hidden = activate_normed(self.activation, self.norm.as_ref(), hidden, pass);
        adjoint(self.kernel.val(), None, self.dropout.forward(hidden, pass), pass)
    }

    fn jvp(&self, _: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let hidden = self.hidden(x.clone(), pass);
        let v = scaled(self.input_norm.as_ref(), v.clone());
        let v = convolve(self.kernel.val(), None, v, pass);
        let v = activate_normed_jvp(self.activation, self.norm.as_ref(), hidden, v, pass);
        Some(adjoint(self.kernel.val(), None, v, pass))
    }

    /// ‖K‖², or ‖K‖·‖NKN′‖ with the scales N and N′ of the norms.
    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        let kernel = self.kernel.val();
        let kind = (&kernel.device(), kernel.dtype());
        let shape = [kernel.dims()[0], size[0], size[1]];
        let map = |x| convolve(kernel.clone(), None, x, pass);
        let transposed = |y| adjoint(kernel.clone(), None, y, pass);
        let outer = operator_norm(shape, kind, map, transposed);
        if self.norm.is_none() && self.input_norm.is_none() {
            return Some(outer.clone() * outer);
        }
        let (norm, input_norm) = (self.norm.as_ref(), self.input_norm.as_ref());
        let inner = operator_norm(
            shape,
            kind,
            |x| scaled(norm, map(scaled(input_norm, x))),
            |y| scaled(input_norm, transposed(scaled(norm, y))),
        );
        Some(outer * inner)
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        if self.norm.is_some() || !self.dropout.is_off() {
            return None;
        }
        let (activation, input_bias) = (self.activation, self.input_bias.is_some());
        Some(KernelForm { form: Form::Symmetric, activation, input_bias })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

impl Symmetric {
    /// K(x + a) + b, or K of the normed x.
    fn hidden(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let x = match (&self.input_bias, &self.input_norm) {
            (Some(a), _) => x + a.val().reshape([1, -1, 1, 1]),
            (None, Some(norm)) => norm.forward(x, pass),
            (None, None) => x,
        };
        convolve(self.kernel.val(), self.bias.as_ref().map(Param::val), x, pass)
    }
}
