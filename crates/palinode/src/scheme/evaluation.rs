//! Evaluations of residuals, as the sweeps ask for them.

use super::update::{Role, Term};
use crate::error::Result;
use burn::tensor::Tensor;

/// Which evaluation of a residual is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Which residual of the unit, counted from its first block.
    pub residual: usize,
    /// Which of its two functions.
    pub role: Role,
    /// Which evaluation in its block, from 0. A scheme may evaluate a residual several times in a block, and norms keep the
    /// statistics of each.
    pub stage: usize,
}

impl Evaluation {
    /// Evaluation number `stage` of a block, of a term's residual.
    pub(super) fn of(term: Term, stage: usize) -> Self {
        Self { residual: term.residual, role: term.role, stage }
    }
}

/// A function that evaluates a residual: (evaluation, x) ↦ F(x), unscaled.
pub type Evaluate<'a> = dyn FnMut(Evaluation, Tensor<4>) -> Result<Tensor<4>> + 'a;

/// A function that differentiates a residual: (evaluation, x, v) ↦ (F(x), Jᵀv), unscaled. It also
/// collects the gradients with respect to the parameters.
pub type Differentiate<'a> =
    dyn FnMut(Evaluation, Tensor<4>, Tensor<4>) -> Result<(Tensor<4>, Tensor<4>)> + 'a;
