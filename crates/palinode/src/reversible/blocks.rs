//! The blocks of a unit, which the three modes differentiate.

use super::evaluations::{Evaluations, UnitSite};
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Scheme, State, sweep};
use palinode_kernels::Context;
use std::sync::Arc;

/// A unit's residuals, its scheme, its position in the network, and how the kernels compute it.
#[derive(Debug)]
pub(crate) struct Blocks<'a, R> {
    pub residuals: &'a [R],
    pub scheme: &'a Arc<dyn Scheme>,
    pub site: &'a UnitSite,
    pub kernels: Kernels,
    pub context: &'a Context,
}

/// How the kernels compute a unit in training.
///
/// This affects only units that the kernels compute as a whole: units of built-in residuals without
/// norm and dropout, in mode `reversible`, in f32 on the CPU. Inference and validation always use the
/// most exact kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernels {
    /// The algorithm; `None` for [the quickest](palinode_kernels::Algorithm::quickest) for the image
    /// size.
    pub algorithm: Option<palinode_kernels::Algorithm>,
    /// The precision to which the factors of the gradients' matrix products are rounded.
    pub gradients: palinode_kernels::Precision,
}

impl Kernels {
    /// The same choice with another algorithm.
    pub fn with_algorithm(self, algorithm: Option<palinode_kernels::Algorithm>) -> Self {
        Self { algorithm, ..self }
    }

    /// The same choice with another precision of the gradients.
    pub fn with_gradients(self, gradients: palinode_kernels::Precision) -> Self {
        Self { gradients, ..self }
    }
}

impl<R: Residual> Blocks<'_, R> {
    /// The number of blocks N.
    pub fn count(&self) -> usize {
        self.residuals.len() / self.scheme.residuals_per_block()
    }

    /// A record of this unit's evaluations, empty at first.
    pub fn evaluations(&self, phase: Phase) -> Evaluations {
        Evaluations::new(phase, self.context, self.site.clone())
    }

    /// The state after the last block, by first evaluations.
    pub fn forward(&self, start: State, evaluations: &mut Evaluations) -> Result<State> {
        (0..self.count()).try_fold(start, |state, block| {
            sweep::step(self.scheme.update(block), state, &mut |term, x| {
                evaluations.first_value(&self.residuals[term.residual], term, x)
            })
        })
    }

    /// The state before the first block, by second evaluations.
    pub fn inverse(&self, end: State, evaluations: &Evaluations) -> Result<State> {
        (0..self.count()).rev().try_fold(end, |state, block| {
            sweep::unstep(self.scheme.update(block), state, &mut |term, x| {
                evaluations.value_again(&self.residuals[term.residual], term, x)
            })
        })
    }
}
