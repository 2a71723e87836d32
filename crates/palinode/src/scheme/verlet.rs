//! Two-layer Hamiltonian network, integrated by Verlet's method.

use super::definition::{Scheme, StabilityRegion};
use super::update::{Role, Streams, Term, Update};

/// The Verlet scheme of the two-layer Hamiltonian network.
///
/// ODE: Ẏ = F₁(Z), Ż = −F₂(Y), with F_i(x) = K_iᵀσ(K_i x + b_i).
///
/// * forward: Y⁺ = Y + hF₁(Z), Z⁺ = Z − hF₂(Y⁺)
/// * inverse: Z = Z⁺ + hF₂(Y⁺), Y = Y⁺ − hF₁(Z)
/// * order: 1 with Y and Z at the same time (symplectic Euler), 2 with Z staggered by h/2
/// * linear stability: h‖K₁‖‖K₂‖ < 2 for frozen weights and 0 ≤ σ′ ≤ 1
///
/// Two residuals, hence four convolutions, per block.
/// Source: Chang, Meng, Haber, Ruthotto, Begert & Holtham, AAAI 2018.
#[derive(Clone, Copy, Debug)]
pub struct Verlet {
    /// h.
    pub step: f64,
}

impl Scheme for Verlet {
    fn streams(&self) -> Streams {
        Streams::Two
    }

    fn residuals_per_block(&self) -> usize {
        2
    }

    fn time_step(&self) -> f64 {
        self.step
    }

    fn stability_region(&self) -> Option<StabilityRegion> {
        Some(StabilityRegion::ImaginaryAxis(2.0))
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        vec![Update::TwoStream {
            first: Term { scale: self.step, residual: 2 * block, role: Role::Forward },
            second: Term { scale: -self.step, residual: 2 * block + 1, role: Role::Forward },
        }]
    }
}
