//! How it is differentiated: three ways through a unit, on the same weights.
//!
//! | mode | kept between forward and backward | evaluations of F (forward + backward) |
//! |---|---|---|
//! | [`Stored`](Differentiation::Stored) | every activation | N + 0 |
//! | [`Checkpointed`](Differentiation::Checkpointed) | ⌈√N⌉ states | N + 2N |
//! | [`Reversible`](Differentiation::Reversible) | the last state | N + N |
//!
//! Gradients agree to rounding. The last two record one autodiff node per segment or unit
//! whose backward pass works on small graphs of its own (`local`). What a residual's second
//! evaluation needs to repeat the first (the statistics of batch norms) is kept beside the states, see
//! [`pass`](crate::pass); residuals with side effects of other kinds are refused there.

mod checkpointed;
mod fused;
mod kernels;
mod local;
mod reversed;
mod stored;

use crate::error::{Error, Result};
use crate::pass::{Memory, Phase, UnitSite};
use crate::residual::{Effects, Residual, evaluate};
use crate::scheme::{Scheme, State, sweep};
use burn::tensor::Tensor;
pub use kernels::Kernels;
pub use palinode_kernels::{Algorithm, Precision};
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

    /// Refuses schemes that this mode cannot undo and residuals that it could not evaluate again.
    pub(crate) fn check<R: Residual>(self, residuals: &[R], scheme: &dyn Scheme) -> Result<()> {
        if self == Self::Stored {
            return Ok(());
        }
        if self == Self::Reversible && !scheme.is_reversible() {
            let reason = format!("{scheme:?} has no inverse; use mode `stored` or `checkpointed`");
            return Err(Error::config("training.mode", reason));
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
    pub site: &'a UnitSite,
    pub kernels: Kernels,
}

impl<R: Residual> Blocks<'_, R> {
    /// N.
    pub fn count(&self) -> usize {
        self.residuals.len() / self.scheme.residuals_per_block()
    }

    /// Through all blocks for the first time.
    pub fn forward(&self, start: State, memory: &mut Memory) -> State {
        (0..self.count()).fold(start, |state, block| {
            sweep::step(self.scheme.update(block), state, &mut |term, x| {
                memory.first(term.residual, term.role, |pass| {
                    evaluate(&self.residuals[term.residual], term.role, x, pass)
                })
            })
        })
    }

    /// Back through all blocks; `None` where the scheme has no inverse.
    pub fn inverse(&self, end: State, memory: &Memory) -> Option<State> {
        (0..self.count()).rev().try_fold(end, |state, block| {
            sweep::unstep(self.scheme.update(block), state, &mut |term, x| {
                memory.again(term.residual, term.role, |pass| {
                    evaluate(&self.residuals[term.residual], term.role, x, pass)
                })
            })
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
    phase: Phase,
) -> Result<Tensor<4>> {
    let tracked = input.is_tracked() || local::any_tracked(blocks.residuals);
    if !tracked {
        return Ok(inference(blocks, input, phase));
    }
    match mode {
        Differentiation::Stored => Ok(stored::forward(blocks, input, phase)),
        Differentiation::Checkpointed => checkpointed::forward(blocks, input, phase),
        Differentiation::Reversible => reversed::forward(blocks, input, phase),
    }
}

/// The output alone, as exactly as the kernels can: what is measured and published comes from here.
fn inference<R: Residual>(blocks: Blocks<'_, R>, input: Tensor<4>, phase: Phase) -> Tensor<4> {
    match fused::Fused::of(&blocks, &input) {
        Some(fused) => {
            let scheme = blocks.scheme.as_ref();
            fused.by(Algorithm::Winograd2).forward(blocks.residuals, scheme, input).output
        }
        None => stored::forward(blocks, input, phase),
    }
}
