//! A unit's residuals, its scheme and where it stands: what the three modes differentiate.

use super::evaluations::{Evaluations, UnitSite};
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Scheme, State, sweep};
use palinode_kernels::Context;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Blocks<'a, R> {
    pub residuals: &'a [R],
    pub scheme: &'a Arc<dyn Scheme>,
    pub site: &'a UnitSite,
    pub kernels: Kernels,
    pub context: &'a Context,
}

/// How the kernels compute a unit in training, where they compute it as a whole: units of the built-in
/// residuals without norm and dropout, in mode `reversible`, in f32 on the CPU.
///
/// Inference and validation always use the most exact kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernels {
    /// The algorithm; `None`: [the quickest](palinode_kernels::Algorithm::quickest) for the images' size.
    pub algorithm: Option<palinode_kernels::Algorithm>,
    /// What the factors of the products for gradients are rounded to.
    pub gradients: palinode_kernels::Precision,
}

impl Kernels {
    /// The same with algorithm `algorithm`.
    pub fn with_algorithm(self, algorithm: Option<palinode_kernels::Algorithm>) -> Self {
        Self { algorithm, ..self }
    }

    /// The same with gradients in `gradients`.
    pub fn with_gradients(self, gradients: palinode_kernels::Precision) -> Self {
        Self { gradients, ..self }
    }
}

impl<R: Residual> Blocks<'_, R> {
    /// N.
    pub fn count(&self) -> usize {
        self.residuals.len() / self.scheme.residuals_per_block()
    }

    /// No evaluation yet.
    pub fn evaluations(&self, phase: Phase) -> Evaluations {
        Evaluations::new(phase, self.context, self.site.clone())
    }

    /// Through all blocks for the first time.
    pub fn forward(&self, start: State, evaluations: &mut Evaluations) -> Result<State> {
        (0..self.count()).try_fold(start, |state, block| {
            sweep::step(self.scheme.update(block), state, &mut |term, x| {
                evaluations.first_value(&self.residuals[term.residual], term, x)
            })
        })
    }

    /// Back through all blocks.
    pub fn inverse(&self, end: State, evaluations: &Evaluations) -> Result<State> {
        (0..self.count()).rev().try_fold(end, |state, block| {
            sweep::unstep(self.scheme.update(block), state, &mut |term, x| {
                evaluations.value_again(&self.residuals[term.residual], term, x)
            })
        })
    }
}
