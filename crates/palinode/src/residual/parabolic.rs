//! F(x) = −Kᵀσ(K(x + a) + b).

use super::{Effects, Pass, Residual, Role, Symmetric, SymmetricConfig};
use crate::random::Generator;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// The parabolic residual F(x) = −Kᵀσ(Kx + b): [`Symmetric`] with the opposite sign.
///
/// Its Jacobian −KᵀDK is symmetric and negative semi-definite, so the ODE Ẋ = F(X) is a diffusion: it is stable, it forgets,
/// and its flow backwards in time is unstable. [`ReversibleRungeKutta`](crate::scheme::ReversibleRungeKutta) gives its steps
/// an inverse all the same.
///
/// Parameters: those of [`Symmetric`].
/// Source: Ruthotto & Haber, "Deep Neural Networks Motivated by Partial Differential Equations", 2018.
#[derive(Module, Debug)]
pub struct Parabolic {
    /// Kᵀσ(Kx + b).
    pub negated: Symmetric,
}

impl SymmetricConfig {
    /// The parabolic residual with a truncated-normal kernel (std √(2/(9c))) and zero biases.
    pub fn init_parabolic(&self, generator: &mut Generator, device: &Device) -> Parabolic {
        Parabolic { negated: self.init(generator, device) }
    }
}

impl Residual for Parabolic {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.negated.forward(x, pass).neg()
    }

    fn jvp(&self, role: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        self.negated.jvp(role, x, v, pass).map(Tensor::neg)
    }

    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        self.negated.lipschitz_bound(size, pass)
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}
