//! Forward Euler: the plain residual network.

use super::definition::{Scheme, StabilityRegion};
use super::update::{Role, Streams, Term, Update};

/// The forward Euler scheme of Ẋ = F(X). With h = 1 it is the residual network of He et al.
///
/// * forward: X_{j+1} = X_j + hF(X_j)
/// * inverse: none in closed form, so the reversible mode refuses the scheme
/// * order: 1
/// * linear stability: |1 + hλ| ≤ 1 for every eigenvalue λ of F's Jacobian; unstable for every h if
///   these are imaginary, as for an antisymmetric F
///
/// Source: He, Zhang, Ren & Sun, 2016; as an ODE in Chang et al. 2018 and in eq. (1) of the report.
#[derive(Clone, Copy, Debug)]
pub struct Euler {
    /// h.
    pub step: f64,
}

impl Scheme for Euler {
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
        Some(StabilityRegion::UnitDisc)
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let residual = Term { scale: self.step, residual: block, role: Role::Forward };
        vec![Update::OneStep { residual }]
    }

    fn is_reversible(&self) -> bool {
        false
    }
}
