//! The blocks of a unit, which the three modes differentiate.

use super::evaluations::{Evaluations, UnitSite};
use super::local::detach;
use crate::device::read;
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Evaluation, Grid, Role, Scheme, State, sweep};
use burn::tensor::Tensor;
use palinode_kernels::Context;
use std::sync::Arc;

/// A unit's residuals, its scheme, its position in the network, and how the kernels compute it.
#[derive(Debug)]
pub(crate) struct Blocks<'a, R> {
    pub residuals: &'a [R],
    pub scheme: &'a Arc<dyn Scheme>,
    pub site: &'a UnitSite,
    pub context: &'a Context,
}

impl<R: Residual> Blocks<'_, R> {
    /// The number of blocks N.
    pub fn count(&self) -> usize {
        self.residuals.len() / self.scheme.residuals_per_block()
    }

    /// Block `block` with states on `grid`.
    fn block(&self, block: usize, grid: Option<Grid>) -> sweep::Block<'_> {
        sweep::Block { scheme: self.scheme.as_ref(), block, grid }
    }

    /// An upper bound of the Lipschitz constant of every residual on images of `size`, with its factor of stochastic depth;
    /// `None` if one has none.
    pub fn lipschitz_bounds(&self, size: [usize; 2]) -> Result<Option<Vec<f64>>> {
        let evaluations = self.evaluations(Phase::Inference);
        let mut found: Vec<Tensor<1>> = Vec::new();
        for (index, residual) in detach(self.residuals).iter().enumerate() {
            let evaluation = Evaluation { residual: index, role: Role::Forward, stage: 0 };
            let bound = evaluations.again(evaluation, |pass, survival| {
                Ok(residual.lipschitz_bound(size, pass).map(|bound| bound * survival.factor()))
            })?;
            let Some(bound) = bound else { return Ok(None) };
            found.push(bound);
        }
        if found.is_empty() {
            return Ok(Some(Vec::new()));
        }
        Ok(Some(read(Tensor::cat(found, 0))?))
    }

    /// A record of this unit's evaluations, empty at first.
    pub fn evaluations(&self, phase: Phase) -> Evaluations {
        Evaluations::new(phase, self.context, self.site.clone())
    }

    /// The state after the last block, by first evaluations. A state on a grid is rounded to it first.
    pub fn forward(&self, start: State, evaluations: &mut Evaluations) -> Result<State> {
        self.forward_past(start, evaluations, &mut |_| ())
    }

    /// [`forward`](Self::forward), calling `see` with the state before the first block and after every one.
    pub fn forward_past(
        &self,
        start: State,
        evaluations: &mut Evaluations,
        see: &mut dyn FnMut(&State),
    ) -> Result<State> {
        let grid = evaluations.grid();
        let start = start.rounded(grid);
        see(&start);
        (0..self.count()).try_fold(start, |state, block| {
            let state = self.block(block, grid).step(state, &mut |evaluation, x| {
                evaluations.first_value(&self.residuals[evaluation.residual], evaluation, x)
            })?;
            see(&state);
            Ok(state)
        })
    }

    /// The state before the first block, by second evaluations.
    pub fn inverse(&self, end: State, evaluations: &Evaluations) -> Result<State> {
        let grid = evaluations.grid();
        (0..self.count()).rev().try_fold(end, |state, block| {
            self.block(block, grid).unstep(state, &mut |evaluation, x| {
                evaluations.value_again(&self.residuals[evaluation.residual], evaluation, x)
            })
        })
    }
}
