//! Momentum residual networks.

use super::definition::Scheme;
use super::field::Field;
use super::update::{Role, Streams, Term, Update};

/// A residual network with momentum.
///
/// V⁺ = γV + (1 − γ)hF(X), X⁺ = X + V⁺, with V = 0 at first. Without V,
///
/// * forward: X_{j+1} = (1 + γ)X_j − γX_{j−1} + (1 − γ)hF(X_j), with X₋₁ = X₀
/// * inverse: X_{j−1} = ((1 + γ)X_j + (1 − γ)hF(X_j) − X_{j+1})/γ: a division, so not exact to the bit; errors grow by 1/γ a
///   block, and γ must be above 0
/// * order: 1, of the second-order ODE Ẍ = (1 − γ)(F(X) − Ẋ/h)/h
/// * with h = 1 it is the network of the paper; γ = 0 would be the residual network
///
/// Source: Sander, Ablin, Blondel & Peyré, "Momentum Residual Neural Networks", ICML 2021.
#[derive(Clone, Copy, Debug)]
pub struct Momentum {
    /// h.
    pub step: f64,
    /// γ, above 0 and below 1.
    pub memory: f64,
}

impl Scheme for Momentum {
    fn streams(&self) -> Streams {
        Streams::One
    }

    fn residuals_per_block(&self) -> usize {
        1
    }

    fn time_step(&self) -> f64 {
        self.step
    }

    fn field(&self, block: usize) -> Option<Field> {
        let rate = (1.0 - self.memory) / self.step;
        Some(Field::Second { force: Term::new(rate, block), damping: rate })
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let scale = (1.0 - self.memory) * self.step;
        vec![Update::Damped {
            current: 1.0 + self.memory,
            previous: self.memory,
            residual: Term { scale, residual: block, role: Role::Forward },
        }]
    }
}
