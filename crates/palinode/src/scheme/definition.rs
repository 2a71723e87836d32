//! The trait of schemes.

use super::field::Field;
use super::update::{Streams, Update};
use serde::Serialize;
use std::fmt::Debug;

/// The numbers hλ for which a scheme's solution of ẋ = λx stays bounded, where λ is an eigenvalue of the Jacobian of the
/// right-hand side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StabilityRegion {
    /// The imaginary numbers hλ with |hλ| below this limit.
    ImaginaryAxis(f64),
    /// |1 + hλ| ≤ 1.
    UnitDisc,
}

/// A scheme: a recurrence over the blocks of a unit.
pub trait Scheme: Debug + Send + Sync + 'static {
    /// How a unit holds its state.
    fn streams(&self) -> Streams;

    /// The number of residuals in one block, each with its own parameters.
    fn residuals_per_block(&self) -> usize;

    /// What block `block`, counted from 0, does to the state: one update, or several one after the other.
    fn updates(&self, block: usize) -> Vec<Update>;

    /// The ODE that block `block` makes a step of, if it is not that of its only update.
    fn field(&self, block: usize) -> Option<Field> {
        match self.updates(block).as_slice() {
            [update] => Field::of(*update, self.time_step()),
            _ => None,
        }
    }

    /// The time step h, or 1 for a scheme without one.
    fn time_step(&self) -> f64 {
        1.0
    }

    /// Whether every update has an inverse.
    fn is_reversible(&self) -> bool {
        true
    }

    /// Whether its inverse is exact on a [`Grid`](super::Grid): it is, if every update is
    /// [additive](Update::is_additive).
    fn is_exact(&self) -> bool {
        self.updates(0).iter().all(Update::is_additive)
    }

    /// Where the scheme is stable; `None` if nowhere, or if it is not known.
    fn stability_region(&self) -> Option<StabilityRegion> {
        None
    }

    /// For one state: whether a unit starts with X₋₁ = X₀ (`true`) or with X₋₁ = 0.
    fn starts_at_rest(&self) -> bool {
        true
    }
}
