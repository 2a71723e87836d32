//! Plain autodiff through every block.

use super::Blocks;
use crate::pass::{Memory, Phase};
use crate::residual::Residual;
use crate::scheme::sweep;
use burn::tensor::Tensor;

pub(super) fn forward<R: Residual>(
    blocks: Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Tensor<4> {
    let start = sweep::open(blocks.scheme.as_ref(), input);
    let state = blocks.forward(start, &mut Memory::new(phase, blocks.site.clone()));
    sweep::close(blocks.scheme.as_ref(), state)
}
