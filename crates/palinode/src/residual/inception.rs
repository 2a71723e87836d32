//! F(x) = Aᵀσ(Ax + b) with the inception map A.

use super::convolution::{activate_normed, activate_normed_jvp};
use super::operator_norm::operator_norm;
use super::{Effects, InceptionMap, Pass, Residual, Role, Vjp};
use crate::Activation;
use crate::dropout::Dropout;
use crate::norm::BatchNorm;
use crate::random::Generator;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// Configuration of [`Inception`] and [`AntisymmetricInception`](super::AntisymmetricInception).
#[derive(Config, Debug)]
pub struct InceptionConfig {
    /// Channels c of the stream the residual works on, a multiple of four.
    pub channels: usize,
    /// σ.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// ε of the batch norm before σ; `None` for no norm. The convolutions keep their biases.
    #[config(default = "None")]
    pub norm: Option<f64>,
    /// Rate of the dropout after σ.
    #[config(default = "0.0")]
    pub dropout: f64,
}

/// The inception residual F(x) = Aᵀσ(Ax + b): [`Symmetric`](super::Symmetric) with the
/// [inception map](InceptionMap) in place of the convolution K. b is the contribution of the map's
/// biases.
///
/// As for [`Symmetric`](super::Symmetric), the Jacobian AᵀDA is symmetric and positive semi-definite,
/// so the network stays stable. A is block diagonal, so the four groups of a stream do not mix inside a
/// unit.
///
/// Parameters: those of the [map](InceptionMap); with batch norm, also `norm`.
/// Source: the report, "Creative and Suggested Improvements".
#[derive(Module, Debug)]
pub struct Inception {
    /// A.
    pub map: InceptionMap,
    /// Batch norm before σ.
    pub norm: Option<BatchNorm>,
    /// Dropout after σ.
    pub dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl InceptionConfig {
    /// Trainable parameters: 37g² + 5g with g = c/4, plus 2c with batch norm.
    pub fn parameters(&self) -> usize {
        let g = self.channels / 4;
        g * (37 * g + 5) + if self.norm.is_some() { 2 * self.channels } else { 0 }
    }

    /// A residual with truncated-normal kernels (std √(2/(k²g))) and zero biases.
    pub fn init(&self, generator: &mut Generator, device: &Device) -> Inception {
        Inception {
            map: InceptionMap::new(self.channels, generator, device),
            norm: self.norm.map(|epsilon| BatchNorm::new(self.channels, epsilon, device)),
            dropout: Dropout::new(self.dropout),
            activation: self.activation,
        }
    }
}

impl Residual for Inception {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if self.is_whole()
            && let Some(value) = self.map.residual_value(&x, self.activation, pass)
        {
            return value;
        }
        let hidden = self.map.forward(x, pass);
        let hidden = activate_normed(self.activation, self.norm.as_ref(), hidden, pass);
        self.map.adjoint(self.dropout.forward(hidden, pass), pass)
    }

    fn vjp(&self, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Vjp> {
        self.is_whole().then(|| self.map.residual_vjp(x, v, self.activation, pass))?
    }

    fn jvp(&self, _: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let hidden = self.map.forward(x.clone(), pass);
        let v = self.map.linear(v.clone(), pass);
        let v = activate_normed_jvp(self.activation, self.norm.as_ref(), hidden, v, pass);
        Some(self.map.adjoint(v, pass))
    }

    /// ‖A‖², or ‖A‖·‖NA‖ with the scale N of the norm.
    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        let (channels, device, dtype) = self.map.kind();
        let (shape, kind) = ([channels, size[0], size[1]], (&device, dtype));
        let map = |x| self.map.linear(x, pass);
        let transposed = |y| self.map.adjoint(y, pass);
        let outer = operator_norm(shape, kind, map, transposed);
        let Some(norm) = &self.norm else { return Some(outer.clone() * outer) };
        let inner =
            operator_norm(shape, kind, |x| norm.scaled(map(x)), |y| transposed(norm.scaled(y)));
        Some(outer * inner)
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

impl Inception {
    /// Whether the residual consists of A and σ alone. A kernel computes these as a whole.
    fn is_whole(&self) -> bool {
        self.norm.is_none() && self.dropout.is_off()
    }
}
