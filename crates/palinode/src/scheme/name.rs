//! The built-in schemes by name.

use super::coupling::Coupling;
use super::damped::Damped;
use super::definition::Scheme;
use super::euler::Euler;
use super::forest_ruth::ForestRuth;
use super::hamiltonian::Hamiltonian;
use super::leapfrog::{Leapfrog, Start};
use super::midpoint::Midpoint;
use super::momentum::Momentum;
use super::reversible_runge_kutta::ReversibleRungeKutta;
use super::runge_kutta::RungeKutta;
use super::verlet::Verlet;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The name of a built-in scheme, as a recipe gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// [`ForestRuth`]: the two-layer Hamiltonian network in fourth order.
    ForestRuth,
    /// [`ReversibleRungeKutta`].
    RungeKutta,
    /// [`Damped`].
    Damped,
    /// [`Momentum`].
    Momentum,
    /// [`Euler`] (ResNet), without an inverse.
    Euler,
}

/// The settings of a scheme. Each scheme uses some of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemeOptions {
    /// The method of [`ReversibleRungeKutta`].
    pub method: RungeKutta,
    /// λ of [`ReversibleRungeKutta`].
    pub coupling: f64,
    /// γ of [`Damped`].
    pub damping: f64,
    /// γ of [`Momentum`].
    pub memory: f64,
}

impl Default for SchemeOptions {
    fn default() -> Self {
        Self { method: RungeKutta::default(), coupling: 1.0, damping: 0.5, memory: 0.9 }
    }
}

impl SchemeName {
    /// The reversible built-in schemes: all but [`Euler`].
    pub const REVERSIBLE: [Self; 9] = [
        Self::Hamiltonian,
        Self::HamiltonianSingle,
        Self::Midpoint,
        Self::Leapfrog,
        Self::Coupling,
        Self::ForestRuth,
        Self::RungeKutta,
        Self::Damped,
        Self::Momentum,
    ];

    /// The scheme with step h = `step` and the usual options. Only leapfrog uses `start`.
    pub fn with_step(self, step: f64, start: Start) -> Arc<dyn Scheme> {
        self.with_options(step, start, SchemeOptions::default())
    }

    /// The scheme with step h = `step` and these options. Only leapfrog uses `start`.
    pub fn with_options(self, step: f64, start: Start, options: SchemeOptions) -> Arc<dyn Scheme> {
        let SchemeOptions { method, coupling, damping, memory } = options;
        match self {
            Self::Hamiltonian => Arc::new(Verlet { step }),
            Self::HamiltonianSingle => Arc::new(Hamiltonian { step }),
            Self::Midpoint => Arc::new(Midpoint { step }),
            Self::Leapfrog => Arc::new(Leapfrog { step, start }),
            Self::Coupling => Arc::new(Coupling),
            Self::ForestRuth => Arc::new(ForestRuth { step }),
            Self::RungeKutta => Arc::new(ReversibleRungeKutta { step, method, coupling }),
            Self::Damped => Arc::new(Damped { step, damping }),
            Self::Momentum => Arc::new(Momentum { step, memory }),
            Self::Euler => Arc::new(Euler { step }),
        }
    }
}
