//! Two-layer Hamiltonian network, integrated by a symplectic method of fourth order.

use super::definition::{Scheme, StabilityRegion};
use super::field::Field;
use super::runge_kutta::RungeKutta;
use super::update::{Half, Increment, Role, Streams, Term, Update};

/// The symplectic method of fourth order of Forest and Ruth, for the two-layer Hamiltonian network.
///
/// ODE: Ẏ = F₁(Z), Ż = −F₂(Y), with F_i(x) = K_iᵀσ(K_i x + b_i), as for [`Verlet`](super::Verlet).
///
/// It composes three steps of w₁h, w₀h and w₁h, w₁ = 1/(2 − 2^{1/3}), w₀ = 1 − 2w₁, of the half-kick form of Verlet's method,
/// in which Z moves by half a step, Y by a step and Z by another half. Neighbouring halves are one: with
/// c = (w₁/2, (w₀ + w₁)/2, (w₀ + w₁)/2, w₁/2) and d = (w₁, w₀, w₁),
///
/// * forward: Z ← Z − c₁hF₂(Y), Y ← Y + d₁hF₁(Z), Z ← Z − c₂hF₂(Y), Y ← Y + d₂hF₁(Z), …, Z ← Z − c₄hF₂(Y)
/// * inverse: the same additions taken back in the opposite order, exact on a [`Grid`](super::Grid)
/// * order: 4 where σ is smooth
/// * linear stability: h‖K₁‖‖K₂‖ < 1.573
///
/// One block is one step: seven evaluations on the same two residuals.
/// Source: E. Forest, R. Ruth, Physica D 43, 1990; H. Yoshida, Phys. Lett. A 150, 1990.
#[derive(Clone, Copy, Debug)]
pub struct ForestRuth {
    /// h.
    pub step: f64,
}

impl ForestRuth {
    /// c and d: the moves of Z and of Y, as shares of h, by turns.
    fn shares() -> [f64; 7] {
        let outer = 1.0 / (2.0 - 2.0_f64.cbrt());
        let inner = 1.0 - 2.0 * outer;
        let (half, between) = (outer / 2.0, (inner + outer) / 2.0);
        [half, outer, between, inner, between, outer, half]
    }
}

impl Scheme for ForestRuth {
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
        Some(StabilityRegion::ImaginaryAxis(1.573))
    }

    fn field(&self, block: usize) -> Option<Field> {
        Some(Field::Streams {
            first: Term::new(1.0, 2 * block),
            second: Term::new(-1.0, 2 * block + 1),
        })
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let stage = |(index, share): (usize, f64)| {
            let (changed, sign, residual) = match index % 2 {
                0 => (Half::Second, -1.0, 2 * block + 1),
                _ => (Half::First, 1.0, 2 * block),
            };
            let term = Term { scale: sign * share * self.step, residual, role: Role::Forward };
            let increment = Increment { method: RungeKutta::Euler, term, factor: 1.0 };
            Update::Stage { changed, kept: 1.0, increment }
        };
        Self::shares().into_iter().enumerate().map(stage).collect()
    }
}
