//! How it is integrated: the schemes, all but one reversible by construction.
//!
//! A scheme says what one block does to the state of a unit, as an [`Update`]. Every update but
//! [`Euler`]'s adds a function of one part of the state to the other part, so it can be undone by
//! subtracting the same function again; the sweeps forward, backward and with gradients follow from
//! the update alone ([`sweep`]) and hold for every residual.

mod coupling;
mod euler;
mod hamiltonian;
mod leapfrog;
mod midpoint;
pub mod sweep;
mod verlet;

pub use coupling::Coupling;
pub use euler::Euler;
pub use hamiltonian::Hamiltonian;
pub use leapfrog::{Leapfrog, Start};
pub use midpoint::Midpoint;
pub use verlet::Verlet;

use crate::residual::{BuiltInConfig, Role};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;

/// State of a unit between two blocks: (Y, Z) for two streams, (X_{j−1}, X_j) for one state.
///
/// Gradients with respect to a state have the same form.
#[derive(Clone, Debug)]
pub struct State {
    /// Y or X_{j−1}: `[n, c, h, w]`.
    pub first: Tensor<4>,
    /// Z or X_j: `[n, c, h, w]`.
    pub second: Tensor<4>,
}

/// How a unit's channels are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// The input is split in two halves (Y, Z) of its channels; the output joins them again.
    Two,
    /// The input is X₀, the output X_N; the state is the last two.
    One,
}

/// A multiple of one residual of the unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The factor.
    pub scale: f64,
    /// Which residual of the unit, counted from its first block.
    pub residual: usize,
    /// Which of its two functions.
    pub role: Role,
}

/// What one block does to the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Y⁺ = Y + a·F(Z), then Z⁺ = Z + b·G(Y⁺).
    TwoStream {
        /// a·F.
        first: Term,
        /// b·G.
        second: Term,
    },
    /// X_{j+1} = X_{j−1} + s·F(X_j), or X_{j+1} = 2X_j − X_{j−1} + s·F(X_j).
    TwoStep {
        /// Which of the two.
        drift: Drift,
        /// s·F.
        residual: Term,
    },
    /// X_{j+1} = X_j + s·F(X_j): the whole state changes at once, and there is no way back.
    OneStep {
        /// s·F.
        residual: Term,
    },
}

/// Where a two-step scheme would be without its residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// X_{j−1}: a first-order ODE.
    Previous,
    /// 2X_j − X_{j−1}: a second-order ODE, going on at the same speed.
    Extrapolated,
}

/// A scheme: a recurrence over the blocks of a unit.
pub trait Scheme: Debug + Send + Sync + 'static {
    /// How the state is held.
    fn streams(&self) -> Streams;

    /// Residuals with their own parameters in one block.
    fn residuals_per_block(&self) -> usize;

    /// What block `block` (from 0) does.
    fn update(&self, block: usize) -> Update;

    /// h; 1 where there is no time.
    fn time_step(&self) -> f64 {
        1.0
    }

    /// Whether a block can be undone.
    fn is_reversible(&self) -> bool {
        true
    }

    /// For one state: whether X_{−1} is X₀ (`true`) or 0 where a unit starts.
    fn starts_at_rest(&self) -> bool {
        true
    }
}

/// The name and settings of a built-in scheme, as a recipe gives them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// Two-layer Hamiltonian by [`Verlet`].
    Hamiltonian,
    /// Single-layer [`Hamiltonian`].
    HamiltonianSingle,
    /// [`Midpoint`].
    Midpoint,
    /// [`Leapfrog`].
    Leapfrog,
    /// Additive [`Coupling`] (RevNet).
    Coupling,
    /// [`Euler`] (ResNet), which has no inverse.
    Euler,
}

impl SchemeName {
    /// Every reversible built-in scheme: all but [`Euler`].
    pub const REVERSIBLE: [Self; 5] = [
        Self::Hamiltonian,
        Self::HamiltonianSingle,
        Self::Midpoint,
        Self::Leapfrog,
        Self::Coupling,
    ];

    /// The scheme with step h (`start` matters to leapfrog alone).
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

    /// The residual the paper (or the report) uses with this scheme.
    pub fn usual_residual(self) -> BuiltInConfig {
        match self {
            Self::Hamiltonian | Self::Leapfrog | Self::Coupling => BuiltInConfig::Symmetric,
            Self::HamiltonianSingle => BuiltInConfig::Layer,
            Self::Midpoint => BuiltInConfig::Antisymmetric,
            Self::Euler => BuiltInConfig::Basic,
        }
    }

    /// The inception residual that takes the place of the [usual](Self::usual_residual) one.
    pub fn inception_residual(self) -> BuiltInConfig {
        match self {
            Self::Midpoint => BuiltInConfig::AntisymmetricInception,
            _ => BuiltInConfig::Inception,
        }
    }
}
