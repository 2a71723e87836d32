//! Whether the states of a network's units come back to the bit.

use super::classifier::Network;
use super::modes::Modes;
use crate::error::{Error, Result};
use crate::pass::Phase;
use crate::residual::Residual;
use crate::reversible::Differentiation;
use crate::scheme::Grid;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What the states of the units are in training. In inference they are always unrestricted f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateKind {
    /// On a [`Grid`] for each unit: states that are reconstructed are those of the forward pass, bit for bit.
    Exact,
    /// Unrestricted f32: states that are reconstructed differ by rounding, which grows with depth, step size and weights.
    Float,
}

impl StateKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Exact, Self::Float];

    /// Its name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Float => "float",
        }
    }

    /// What is used with these modes unless something else is asked for: only mode `reversible` reconstructs states.
    pub fn usual_for(modes: &Modes) -> Self {
        if modes.any(Differentiation::Reversible) { Self::Exact } else { Self::Float }
    }
}

impl FromStr for StateKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|own| own.name() == name);
        let names = Self::ALL.map(Self::name);
        found.ok_or_else(|| Error::unknown("training.state", "state", name, names))
    }
}

impl<R: Residual> Network<R> {
    /// For every unit, the largest absolute value of a number of its state on `images`, over all blocks; infinite if one
    /// is NaN.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Device`] if the device fails.
    pub fn largest_states(&self, images: Tensor<4>) -> Result<Vec<f64>> {
        let phase = Phase::BatchStatistics;
        let mut found = Vec::new();
        self.valid().forward_past(images.inner(), phase, &mut |unit, input| {
            found.push(unit.largest_state(input.clone(), phase)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The same network with states of this kind. The grids are those that the states on `images` suggest
    /// ([`Grid::for_states`]). A unit whose states are too large for any grid has none.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Device`] if the device fails.
    pub fn with_state(self, kind: StateKind, images: Tensor<4>) -> Result<Self> {
        let grids = match kind {
            StateKind::Exact => {
                self.largest_states(images)?.into_iter().map(Grid::for_states).collect()
            }
            StateKind::Float => vec![None; self.units.len()],
        };
        self.with_grids(&grids)
    }
}
