//! Single-layer Hamiltonian network.

use super::definition::{Scheme, StabilityRegion};
use super::update::{Role, Streams, Term, Update};

/// The single-layer Hamiltonian network, integrated like [`Verlet`](super::Verlet).
///
/// ODE: Ẏ = σ(KZ + b), Ż = −σ(KᵀY + b), one K and one b for both streams.
///
/// * forward: Y⁺ = Y + hF(Z), Z⁺ = Z − hF*(Y⁺)
/// * inverse: Z = Z⁺ + hF*(Y⁺), Y = Y⁺ − hF(Z)
/// * order: 1 with Y and Z at the same time, 2 with Z staggered by h/2
/// * linear stability: h‖K‖ < 2
///
/// F(x) = σ(Kx + b) and F*(x) = σ(Kᵀx + b) are the two functions of
/// [`Layer`](crate::residual::Layer). For other residuals, F* is
/// [`conjugate`](crate::residual::Residual::conjugate).
/// Source: Haber & Ruthotto, Inverse Problems 34, 2017. The paper improves on this network.
#[derive(Clone, Copy, Debug)]
pub struct Hamiltonian {
    /// h.
    pub step: f64,
}

impl Scheme for Hamiltonian {
    fn streams(&self) -> Streams {
        Streams::Two
    }

    fn residuals_per_block(&self) -> usize {
        1
    }

    fn time_step(&self) -> f64 {
        self.step
    }

    fn stability_region(&self) -> Option<StabilityRegion> {
        Some(StabilityRegion::ImaginaryAxis(2.0))
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        vec![Update::TwoStream {
            first: Term { scale: self.step, residual: block, role: Role::Forward },
            second: Term { scale: -self.step, residual: block, role: Role::Conjugate },
        }]
    }
}
