//! How it is differentiated: three ways through a unit, on the same weights.
//!
//! | mode | kept between forward and backward | evaluations of F (forward + backward) |
//! |---|---|---|
//! | [`Stored`](Differentiation::Stored) | every activation | N + 0 |
//! | [`Checkpointed`](Differentiation::Checkpointed) | ⌈√N⌉ states | N + 2N |
//! | [`Reversible`](Differentiation::Reversible) | the last state | N + N |
//!
//! Gradients agree to rounding. The last two record one autodiff node per segment or unit
//! whose backward pass works on small graphs of its own (`local`); residuals with side
//! effects are refused there, since a second evaluation would not repeat the first.

mod checkpointed;
mod fused;
mod local;
mod reversed;
mod stored;

use crate::error::{Error, Result};
use crate::residual::{Effects, Residual, evaluate};
use crate::scheme::{Scheme, State, sweep};
use burn::tensor::Tensor;
use palinode_kernels::Algorithm;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a unit is differentiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Differentiation {
    /// Plain autodiff: every activation is kept.
    Stored,
    /// States are kept at every ⌈√N⌉-th block; the ones between are computed again.
    Checkpointed,
    /// Only the unit's last state is kept; the others are reconstructed by the scheme's inverse.
    #[default]
    Reversible,
}

impl Differentiation {
    /// The three modes.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Checkpointed, Self::Reversible];

    /// The mode's name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Checkpointed => "checkpointed",
            Self::Reversible => "reversible",
        }
    }

    /// Refuses residuals that this mode could not evaluate again.
    pub(crate) fn check<R: Residual>(self, residuals: &[R]) -> Result<()> {
        if self == Self::Stored {
            return Ok(());
        }
        for residual in residuals {
            let effect = match residual.effects() {
                Effects::None => continue,
                Effects::Randomness => "randomness (dropout or noise)",
                Effects::RunningState => "running state (batch norm, for instance)",
            };
            return Err(Error::NotRepeatable {
                mode: self.name(),
                residual: std::any::type_name::<R>(),
                effect,
            });
        }
        Ok(())
    }
}

/// A unit's residuals and scheme: what the three modes differentiate.
#[derive(Debug)]
pub(crate) struct Blocks<'a, R> {
    pub residuals: &'a [R],
    pub scheme: &'a Arc<dyn Scheme>,
}

impl<R: Residual> Blocks<'_, R> {
    /// N.
    pub fn count(&self) -> usize {
        self.residuals.len() / self.scheme.residuals_per_block()
    }

    /// Through all blocks.
    pub fn forward(&self, start: State) -> State {
        (0..self.count()).fold(start, |state, block| self.step(block, state))
    }

    /// Back through all blocks.
    pub fn inverse(&self, end: State) -> State {
        (0..self.count()).rev().fold(end, |state, block| {
            sweep::unstep(self.scheme.update(block), state, &mut |term, x| {
                evaluate(&self.residuals[term.residual], term.role, x)
            })
        })
    }

    /// Through one block.
    pub fn step(&self, block: usize, state: State) -> State {
        sweep::step(self.scheme.update(block), state, &mut |term, x| {
            evaluate(&self.residuals[term.residual], term.role, x)
        })
    }
}

/// The unit's output for `input` `[n, C, h, w]`, differentiable as `mode` says.
///
/// Without gradients to track (inference), nothing is recorded in any mode.
pub(crate) fn forward<R: Residual>(
    mode: Differentiation,
    blocks: Blocks<'_, R>,
    input: Tensor<4>,
) -> Result<Tensor<4>> {
    let tracked = input.is_tracked() || local::any_tracked(blocks.residuals);
    if !tracked {
        return Ok(inference(blocks, input));
    }
    match mode {
        Differentiation::Stored => Ok(stored::forward(blocks, input)),
        Differentiation::Checkpointed => checkpointed::forward(blocks, input),
        Differentiation::Reversible => reversed::forward(blocks, input),
    }
}

/// The output alone, as exactly as the kernels can: what is measured and published comes from here.
fn inference<R: Residual>(blocks: Blocks<'_, R>, input: Tensor<4>) -> Tensor<4> {
    let scheme = blocks.scheme.as_ref();
    match fused::Fused::of(blocks.residuals, scheme, &input) {
        Some(fused) => {
            fused.by(Algorithm::Winograd2).forward(blocks.residuals, scheme, input).output
        }
        None => stored::forward(blocks, input),
    }
}
