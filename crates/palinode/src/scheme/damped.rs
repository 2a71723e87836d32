//! Damped second-order networks.

use super::definition::Scheme;
use super::field::Field;
use super::update::{Role, Streams, Term, Update};

/// Central differences of the damped second-order ODE Ẍ + γẊ = −F(X), F(x) = Kᵀσ(Kx + b): a hyperbolic network with
/// friction.
///
/// With q = γh/2 and X₋₁ = X₀,
///
/// * forward: X_{j+1} = (2X_j − (1 − q)X_{j−1} − h²F(X_j))/(1 + q)
/// * inverse: X_{j−1} = (2X_j − (1 + q)X_{j+1} − h²F(X_j))/(1 − q): a division, so not exact to the bit; errors grow by
///   (1 + q)/(1 − q) a block, and γh must be below 2
/// * order: 1, as [`Leapfrog`](super::Leapfrog), which it is for γ = 0
/// * linear stability: h‖K‖ < 2 for every γ ≥ 0; solutions decay like e^{−γt/2}
///
/// Source: Ruthotto & Haber, "Deep Neural Networks Motivated by Partial Differential Equations", 2018, for the ODE.
#[derive(Clone, Copy, Debug)]
pub struct Damped {
    /// h.
    pub step: f64,
    /// γ, at least 0.
    pub damping: f64,
}

impl Scheme for Damped {
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
        Some(Field::Second { force: Term::new(-1.0, block), damping: self.damping })
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let (h, q) = (self.step, self.damping * self.step / 2.0);
        let scale = -h * h / (1.0 + q);
        vec![Update::Damped {
            current: 2.0 / (1.0 + q),
            previous: (1.0 - q) / (1.0 + q),
            residual: Term { scale, residual: block, role: Role::Forward },
        }]
    }
}
