//! The built-in schemes by name.

use super::coupling::Coupling;
use super::euler::Euler;
use super::hamiltonian::Hamiltonian;
use super::leapfrog::{Leapfrog, Start};
use super::midpoint::Midpoint;
use super::update::Scheme;
use super::verlet::Verlet;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name and settings of a built-in scheme, as a recipe gives them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// The two-layer Hamiltonian network, see [`Verlet`].
    Hamiltonian,
    /// The single-layer Hamiltonian network, see [`Hamiltonian`].
    HamiltonianSingle,
    /// [`Midpoint`].
    Midpoint,
    /// [`Leapfrog`].
    Leapfrog,
    /// Additive [`Coupling`] (RevNet).
    Coupling,
    /// [`Euler`] (ResNet), without an inverse.
    Euler,
}

impl SchemeName {
    /// The reversible built-in schemes: all but [`Euler`].
    pub const REVERSIBLE: [Self; 5] = [
        Self::Hamiltonian,
        Self::HamiltonianSingle,
        Self::Midpoint,
        Self::Leapfrog,
        Self::Coupling,
    ];

    /// The scheme with step h = `step`. Only leapfrog uses `start`.
    pub fn with_step(self, step: f64, start: Start) -> Arc<dyn Scheme> {
        match self {
            Self::Hamiltonian => Arc::new(Verlet { step }),
            Self::HamiltonianSingle => Arc::new(Hamiltonian { step }),
            Self::Midpoint => Arc::new(Midpoint { step }),
            Self::Leapfrog => Arc::new(Leapfrog { step, start }),
            Self::Coupling => Arc::new(Coupling),
            Self::Euler => Arc::new(Euler { step }),
        }
    }
}
