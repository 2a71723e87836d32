//! Additive coupling, the form of RevNet.

use super::definition::Scheme;
use super::update::{Role, Streams, Term, Update};

/// Additive coupling.
///
/// * forward: Y⁺ = Y + F₁(Z), Z⁺ = Z + F₂(Y⁺)
/// * inverse: Z = Z⁺ − F₂(Y⁺), Y = Y⁺ − F₁(Z)
/// * no time step: as an integrator it is [`Verlet`](super::Verlet) with h = 1 and both signs
///   positive, so Verlet's stability limit does not apply
///
/// Source: Gomez, Ren, Urtasun & Grosse, NIPS 2017, after Dinh et al. 2014 (NICE).
#[derive(Clone, Copy, Debug)]
pub struct Coupling;

impl Scheme for Coupling {
    fn streams(&self) -> Streams {
        Streams::Two
    }

    fn residuals_per_block(&self) -> usize {
        2
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        vec![Update::TwoStream {
            first: Term { scale: 1.0, residual: 2 * block, role: Role::Forward },
            second: Term { scale: 1.0, residual: 2 * block + 1, role: Role::Forward },
        }]
    }
}
