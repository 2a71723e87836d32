//! Plain autodiff through every block.

use super::Blocks;
use crate::residual::Residual;
use crate::scheme::sweep;
use burn::tensor::Tensor;

pub(super) fn forward<R: Residual>(blocks: Blocks<'_, R>, input: Tensor<4>) -> Tensor<4> {
    let state = blocks.forward(sweep::open(blocks.scheme.as_ref(), input));
    sweep::close(blocks.scheme.as_ref(), state)
}
