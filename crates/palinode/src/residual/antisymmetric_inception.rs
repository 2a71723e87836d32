//! F(x) = σ((A − Aᵀ)x + b) with the inception map A.

use super::convolution::{activate_normed, activate_normed_jvp, scaled};
use super::operator_norm::operator_norm;
use super::{Effects, InceptionConfig, InceptionMap, Pass, Residual, Role};
use crate::Activation;
use crate::dropout::Dropout;
use crate::norm::BatchNorm;
use crate::random::Generator;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// The inception residual of the midpoint network, F(x) = σ((A − Aᵀ)x + b):
/// [`Antisymmetric`](super::Antisymmetric) with the [inception map](InceptionMap) in place of the
/// convolution K. b is the contribution of the map's biases.
///
/// A − Aᵀ is antisymmetric for every A. The identity cancels in it, so F = σ(0) on the first quarter of
/// the channels. With ReLU, a unit does not change these channels.
///
/// Parameters: those of the [map](InceptionMap); with batch norm, also `norm`.
#[derive(Module, Debug)]
pub struct AntisymmetricInception {
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
    /// The residual for the midpoint network, with truncated-normal kernels (std √(2/(k²g))) and zero
    /// biases.
    pub fn init_antisymmetric(
        &self,
        generator: &mut Generator,
        device: &Device,
    ) -> AntisymmetricInception {
        AntisymmetricInception {
            map: InceptionMap::new(self.channels, generator, device),
            norm: self.norm.map(|epsilon| BatchNorm::new(self.channels, epsilon, device)),
            dropout: Dropout::new(self.dropout),
            activation: self.activation,
        }
    }
}

impl Residual for AntisymmetricInception {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let hidden = self.map.forward(x.clone(), pass) - self.map.adjoint(x, pass);
        let value = activate_normed(self.activation, self.norm.as_ref(), hidden, pass);
        self.dropout.forward(value, pass)
    }

    fn jvp(&self, _: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let (map, norm) = (&self.map, self.norm.as_ref());
        let hidden = map.forward(x.clone(), pass) - map.adjoint(x.clone(), pass);
        let v = map.linear(v.clone(), pass) - map.adjoint(v.clone(), pass);
        Some(activate_normed_jvp(self.activation, norm, hidden, v, pass))
    }

    /// ‖A − Aᵀ‖, or ‖N(A − Aᵀ)‖ with the scale N of the norm.
    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        let (channels, device, dtype) = self.map.kind();
        let (shape, kind) = ([channels, size[0], size[1]], (&device, dtype));
        let norm = self.norm.as_ref();
        let difference =
            |x: Tensor<4>| self.map.linear(x.clone(), pass) - self.map.adjoint(x, pass);
        let map = |x| scaled(norm, difference(x));
        let transposed = |y| difference(scaled(norm, y)).neg();
        Some(operator_norm(shape, kind, map, transposed))
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
