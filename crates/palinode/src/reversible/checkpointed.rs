//! The checkpointed mode: states are kept at every s-th block, s = ⌈√N⌉.
//!
//! Each segment of s blocks is one autodiff node that keeps the state before it. Its backward pass
//! computes the s states between again and then goes back through them one block at a time, so
//! about 2√N states are alive at the most.

use super::{Blocks, local};
use crate::analysis::profile::{Part, time};
use crate::error::Result;
use crate::parameters::record_modules;
use crate::residual::{Residual, evaluate};
use crate::scheme::{Scheme, State, sweep};
use burn::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

pub(super) fn forward<R: Residual>(blocks: Blocks<'_, R>, input: Tensor<4>) -> Result<Tensor<4>> {
    let scheme = blocks.scheme.as_ref();
    let count = blocks.count();
    let length = (count as f64).sqrt().ceil().max(1.0) as usize;
    let mut packed = pack(sweep::open(scheme, input));
    for first in (0..count).step_by(length) {
        packed = segment(&blocks, first..(first + length).min(count), packed)?;
    }
    Ok(sweep::close(scheme, unpack(packed)))
}

fn segment<R: Residual>(
    blocks: &Blocks<'_, R>,
    range: Range<usize>,
    packed: Tensor<4>,
) -> Result<Tensor<4>> {
    let per_block = blocks.scheme.residuals_per_block();
    let own = &blocks.residuals[range.start * per_block..range.end * per_block];
    let scheme = Arc::clone(blocks.scheme);
    let recomputation = Segment {
        first_residual: range.start * per_block,
        residuals: local::detach(own),
        range,
        scheme,
    };
    let start = packed.clone().inner();
    let output = time(Part::Units, || {
        let blocks = recomputation.range.clone();
        pack(blocks.fold(unpack(start.clone()), |state, block| recomputation.step(block, state)))
    });
    record_modules(Part::Units, packed, own, output, move |gradient| {
        recomputation.backward(start, gradient)
    })
}

/// What the backward pass of one segment needs.
struct Segment<R> {
    scheme: Arc<dyn Scheme>,
    range: Range<usize>,
    residuals: Vec<R>,
    /// Index of `residuals[0]` in the unit.
    first_residual: usize,
}

impl<R: Residual> Segment<R> {
    fn step(&self, block: usize, state: State) -> State {
        sweep::step(self.scheme.update(block), state, &mut |term, x| {
            evaluate(&self.residuals[term.residual - self.first_residual], term.role, x)
        })
    }

    fn backward(self, start: Tensor<4>, gradient: Tensor<4>) -> (Tensor<4>, Vec<Tensor<1>>) {
        let mut states = vec![unpack(start)];
        for block in self.range.clone() {
            if let Some(state) = states.last().cloned() {
                states.push(self.step(block, state));
            }
        }
        let mut gradient = unpack(gradient);
        let mut parameters = local::ParameterGradients::new(&self.residuals);
        let mut after = states.pop();
        for block in self.range.rev() {
            let (Some(state), Some(before)) = (after, states.pop()) else { break };
            let (before, earlier) = sweep::unstep_with_gradient(
                self.scheme.update(block),
                state,
                Some(before),
                gradient,
                &mut |mut term, x, cotangent| {
                    term.residual -= self.first_residual;
                    parameters.pull_back(term, x, cotangent)
                },
            );
            gradient = earlier;
            after = Some(before);
        }
        (pack(gradient), parameters.finish())
    }
}

/// Both parts of a state behind each other along the channels.
fn pack(state: State) -> Tensor<4> {
    Tensor::cat(vec![state.first, state.second], 1)
}

fn unpack(packed: Tensor<4>) -> State {
    let half = packed.dims()[1] / 2;
    State { first: packed.clone().narrow(1, 0, half), second: packed.narrow(1, half, half) }
}
