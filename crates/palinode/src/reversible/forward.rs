//! The forward pass of a unit in each mode.

use super::blocks::Blocks;
use super::differentiation::Differentiation;
use super::fused::Fused;
use super::{checkpointed, local, reversed, stored};
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use burn::tensor::Tensor;
use palinode_kernels::Algorithm;

/// The unit's output for `input` `[n, C, h, w]`, differentiable in mode `mode`.
///
/// If neither the input nor a parameter is tracked (inference), no mode records anything.
pub(crate) fn forward<R: Residual>(
    mode: Differentiation,
    blocks: &Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let tracked = input.is_tracked() || local::any_tracked(blocks.residuals);
    if !tracked {
        return inference(blocks, input, phase);
    }
    match mode {
        Differentiation::Stored => stored::forward(blocks, input, phase),
        Differentiation::Checkpointed => checkpointed::forward(blocks, input, phase),
        Differentiation::Reversible => reversed::forward(blocks, input, phase),
    }
}

/// The output without a graph, by the most exact kernels, since published accuracies are computed here.
fn inference<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    match Fused::of(blocks, &input, phase) {
        Some(fused) => {
            let fused = fused.by(Algorithm::Winograd2).with(blocks.residuals)?;
            let (last, _) = fused.forward(blocks.scheme.as_ref(), input, None)?;
            Ok(last.output)
        }
        None => stored::forward(blocks, input, phase),
    }
}
