//! Leapfrog network.

use super::definition::{Scheme, StabilityRegion};
use super::update::{Drift, Role, Streams, Term, Update};
use serde::{Deserialize, Serialize};

/// The choice of X₋₁ in a leapfrog unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// X₋₁ = X₀, hence X₁ = X₀ − h²F(X₀). Source: the authors' Meganet code.
    #[default]
    AtRest,
    /// X₋₁ = 0, hence X₁ = 2X₀ − h²F(X₀). Features then grow linearly with depth. Source: the formula
    /// of the report and the paper.
    Report,
}

/// The leapfrog scheme of the second-order ODE Ẍ = −F(X), F(x) = Kᵀσ(Kx + b).
///
/// * forward: X_{j+1} = 2X_j − X_{j−1} − h²F(X_j)
/// * inverse: X_{j−1} = 2X_j − X_{j+1} − h²F(X_j), from the kept pair (X_{N−1}, X_N)
/// * order: 1 with X₋₁ = X₀ (order 2 would need X₁ = X₀ − h²/2·F(X₀))
/// * linear stability: h‖K‖ < 2
///
/// Source: Chang et al. 2018, leapfrog network; see [`Start`] for X₋₁.
#[derive(Clone, Copy, Debug)]
pub struct Leapfrog {
    /// h.
    pub step: f64,
    /// X₋₁.
    pub start: Start,
}

impl Scheme for Leapfrog {
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
        Some(StabilityRegion::ImaginaryAxis(2.0))
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        vec![Update::TwoStep {
            drift: Drift::Extrapolated,
            residual: Term { scale: -self.step * self.step, residual: block, role: Role::Forward },
        }]
    }

    fn starts_at_rest(&self) -> bool {
        self.start == Start::AtRest
    }
}
