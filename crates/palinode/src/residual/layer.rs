//! F(x) = σ(Kx + b).

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

/// Configuration of [`Layer`].
#[derive(Config, Debug)]
pub struct LayerConfig {
    /// Channels c of the stream the residual works on.
    pub channels: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// ε of the batch norm in place of the bias; `None` for a bias.
    #[config(default = "None")]
    pub norm: Option<f64>,
    /// Whether F* is evaluated too, so that it needs its own batch norm.
    #[config(default = false)]
    pub with_conjugate: bool,
    /// Rate of the dropout after σ.
    #[config(default = "0.0")]
    pub dropout: f64,
}

/// The single-layer residual F(x) = σ(Kx + b), with conjugate F*(x) = σ(Kᵀx + b).
///
/// Parameters: `kernel` `[c, c, 3, 3]`, `bias` `[c]`; with batch norm, `norm` in place of `bias` and, if
/// F* is evaluated, `conjugate_norm`.
/// Source: Haber & Ruthotto 2017, the single-layer Hamiltonian network.
#[derive(Module, Debug)]
pub struct Layer {
    /// K, `[c, c, 3, 3]` as `[out, in, row, column]`.
    pub kernel: Param<Tensor<4>>,
    /// b, `[c]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Batch norm in place of b in F.
    pub norm: Option<BatchNorm>,
    /// Batch norm in place of b in F*, whose input has other statistics.
    pub conjugate_norm: Option<BatchNorm>,
    /// Dropout after σ.
    pub dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl LayerConfig {
    /// Trainable parameters: 9c² + c; with batch norm 9c² + 2c, or 9c² + 4c if F* is evaluated too.
    pub fn parameters(&self) -> usize {
        let vectors = match (self.norm, self.with_conjugate) {
            (None, _) => 1,
            (Some(_), false) => 2,
            (Some(_), true) => 4,
        };
        self.channels * (9 * self.channels + vectors)
    }

    /// A residual with a truncated-normal kernel (std √(2/(9c))) and zero bias.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Layer {
        Layer {
            kernel: initial_kernel(self.channels, generator, device),
            bias: self.norm.is_none().then(|| initial_bias(self.channels, device)),
            norm: self.norm.map(|epsilon| BatchNorm::new(self.channels, epsilon, device)),
            conjugate_norm: self
                .norm
                .filter(|_| self.with_conjugate)
                .map(|epsilon| BatchNorm::new(self.channels, epsilon, device)),
            dropout: Dropout::new(self.dropout),
            activation: self.activation,
        }
    }
}

impl Residual for Layer {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.finish(self.hidden(Role::Forward, x, pass), self.norm_of(Role::Forward), pass)
    }

    fn conjugate(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.finish(self.hidden(Role::Conjugate, x, pass), self.norm_of(Role::Conjugate), pass)
    }

    fn jvp(&self, role: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let hidden = self.hidden(role, x.clone(), pass);
        let v = match role {
            Role::Forward => convolve(self.kernel.val(), None, v.clone(), pass),
            Role::Conjugate => adjoint(self.kernel.val(), None, v.clone(), pass),
        };
        Some(activate_normed_jvp(self.activation, self.norm_of(role), hidden, v, pass))
    }

    /// ‖K‖; with the scales N and N* of the norms, the larger one of ‖NK‖ and ‖N*Kᵀ‖.
    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        let kernel = self.kernel.val();
        let kind = (&kernel.device(), kernel.dtype());
        let shape = [kernel.dims()[0], size[0], size[1]];
        let map = |x| convolve(kernel.clone(), None, x, pass);
        let transposed = |y| adjoint(kernel.clone(), None, y, pass);
        let norm = self.norm_of(Role::Forward);
        let forward =
            operator_norm(shape, kind, |x| scaled(norm, map(x)), |y| transposed(scaled(norm, y)));
        if self.norm.is_none() {
            return Some(forward);
        }
        let norm = self.norm_of(Role::Conjugate);
        let conjugate =
            operator_norm(shape, kind, |y| scaled(norm, transposed(y)), |x| map(scaled(norm, x)));
        Some(forward.max_pair(conjugate))
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        if self.norm.is_some() || !self.dropout.is_off() {
            return None;
        }
        let (form, activation) = (Form::Layer, self.activation);
        Some(KernelForm { form, activation, input_bias: false })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

impl Layer {
    /// Kx + b, or Kᵀx + b for F*.
    fn hidden(&self, role: Role, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let (kernel, bias) = (self.kernel.val(), self.bias.as_ref().map(Param::val));
        match role {
            Role::Forward => convolve(kernel, bias, x, pass),
            Role::Conjugate => adjoint(kernel, bias, x, pass),
        }
    }

    /// The norm in F or F*.
    fn norm_of(&self, role: Role) -> Option<&BatchNorm> {
        match role {
            Role::Forward => self.norm.as_ref(),
            Role::Conjugate => self.conjugate_norm.as_ref().or(self.norm.as_ref()),
        }
    }

    /// Norm, σ and dropout after the convolution, for F and F*.
    fn finish(&self, hidden: Tensor<4>, norm: Option<&BatchNorm>, pass: &Pass) -> Tensor<4> {
        let value = activate_normed(self.activation, norm, hidden, pass);
        self.dropout.forward(value, pass)
    }
}
