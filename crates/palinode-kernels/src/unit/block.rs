//! What the blocks of a unit do, as the kernels compute it: with factors in f32.

use crate::error::Error;
use crate::evaluation::{Increment, Motion};
use crate::grid::Grid;
use crate::recurrence::{Drift, Role, Term, Update, check_updates};

/// An [`Update`] that has an inverse.
#[derive(Clone, Copy)]
pub(super) enum Block {
    TwoStream { first: Scaled, second: Scaled },
    TwoStep { drift: Drift, residual: Scaled },
}

/// A [`Term`].
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    pub scale: f32,
    /// Which residual.
    pub index: usize,
    pub conjugate: bool,
}

impl From<Term> for Scaled {
    fn from(Term { scale, residual, role }: Term) -> Self {
        Self { scale: scale as f32, index: residual, conjugate: role == Role::Conjugate }
    }
}

/// The blocks of a unit of `residuals` residuals.
pub(super) fn blocks(updates: &[Update], residuals: usize) -> Result<Vec<Block>, Error> {
    check_updates(updates, residuals)?;
    let mut blocks = Vec::with_capacity(updates.len());
    for (update, &kind) in updates.iter().enumerate() {
        blocks.push(match kind {
            Update::TwoStream { first, second } => {
                Block::TwoStream { first: first.into(), second: second.into() }
            }
            Update::TwoStep { drift, residual } => {
                Block::TwoStep { drift, residual: residual.into() }
            }
            Update::OneStep { .. } => return Err(Error::NoInverse { update }),
        });
    }
    Ok(blocks)
}

/// Which way a sweep goes through the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first block to the last.
    Forward,
    /// From the last block to the first, undoing each.
    Inverse,
}

impl Scaled {
    /// What the residual does to the state in direction `direction`, as a term of a two-stream block.
    pub fn increment(self, grid: Option<Grid>, direction: Direction) -> Increment {
        let scale = match direction {
            Direction::Forward => self.scale,
            Direction::Inverse => -self.scale,
        };
        Increment { motion: Motion::Add, scale, grid }
    }

    /// What the residual of a two-step block, evaluated at the state between, does to X_{j−1} to make it X_{j+1}, or
    /// the other way round.
    pub fn two_step(self, drift: Drift, grid: Option<Grid>, direction: Direction) -> Increment {
        match drift {
            Drift::Previous => self.increment(grid, direction),
            // The extrapolation is its own inverse.
            Drift::Extrapolated => {
                Increment { motion: Motion::Extrapolate, scale: self.scale, grid }
            }
        }
    }
}
