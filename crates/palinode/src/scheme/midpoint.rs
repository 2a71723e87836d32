//! Midpoint network.

use super::definition::{Scheme, StabilityRegion};
use super::update::{Drift, Role, Streams, Term, Update};

/// The explicit midpoint (two-step, "leapfrog in first order") scheme of Ẋ = F(X).
///
/// * forward: X₁ = X₀ + hF(X₀) (Euler), then X_{j+1} = X_{j−1} + 2hF(X_j)
/// * inverse: X_{j−1} = X_{j+1} − 2hF(X_j), from the kept pair (X_{N−1}, X_N)
/// * order: 2
/// * linear stability: h‖K − Kᵀ‖ < 1 for F(x) = σ((K − Kᵀ)x + b)
///
/// The reversal is stable only if the weights vary smoothly with depth. Independent weights excite a
/// parasitic mode of the recurrence.
/// Source: Chang et al. 2018, midpoint network.
#[derive(Clone, Copy, Debug)]
pub struct Midpoint {
    /// h.
    pub step: f64,
}

impl Scheme for Midpoint {
    fn streams(&self) -> Streams {
        Streams::One
    }

    fn residuals_per_block(&self) -> usize {
        1
    }

    fn time_step(&self) -> f64 {
        self.step
    }

    fn stability_region(&self) -> Option<StabilityRegion> {
        Some(StabilityRegion::ImaginaryAxis(1.0))
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        // With X₋₁ := X₀ the Euler step is the same recurrence with h in place of 2h.
        let scale = if block == 0 { self.step } else { 2.0 * self.step };
        vec![Update::TwoStep {
            drift: Drift::Previous,
            residual: Term { scale, residual: block, role: Role::Forward },
        }]
    }
}
