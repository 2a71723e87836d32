//! Explicit Runge–Kutta methods.

use serde::{Deserialize, Serialize};

/// An explicit Runge–Kutta method with stages kᵢ = F(x + s Σ_{j<i} a_ij k_j) and the increment Ψ_s(x) = s Σ bᵢkᵢ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RungeKutta {
    /// Explicit Euler: Ψ = sF(x). Order 1.
    Euler,
    /// The explicit midpoint rule: Ψ = sF(x + s/2·F(x)). Order 2.
    Midpoint,
    /// The classical method of four stages. Order 4.
    #[default]
    Rk4,
}

impl RungeKutta {
    /// Rows of a, one for each stage, without the zeros on and above the diagonal.
    pub(super) fn a(self) -> &'static [&'static [f64]] {
        match self {
            Self::Euler => &[&[]],
            Self::Midpoint => &[&[], &[0.5]],
            Self::Rk4 => &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
        }
    }

    pub(super) fn b(self) -> &'static [f64] {
        match self {
            Self::Euler => &[1.0],
            Self::Midpoint => &[0.0, 1.0],
            Self::Rk4 => &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
        }
    }

    /// The number of stages: evaluations of F.
    pub fn stages(self) -> usize {
        self.b().len()
    }

    /// The order of the method.
    pub fn order(self) -> u32 {
        match self {
            Self::Euler => 1,
            Self::Midpoint => 2,
            Self::Rk4 => 4,
        }
    }
}
