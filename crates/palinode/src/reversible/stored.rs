//! The stored mode: plain autodiff through every block.

use super::blocks::Blocks;
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::sweep;
use burn::tensor::Tensor;

pub(super) fn forward<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let start = sweep::open(blocks.scheme.as_ref(), input);
    let state = blocks.forward(start, &mut blocks.evaluations(phase))?;
    Ok(sweep::close(blocks.scheme.as_ref(), state))
}
