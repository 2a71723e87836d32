//! The checkpointed mode: states are kept at every s-th block, s = ⌈√N⌉.
//!
//! Each segment of s blocks is one autodiff node that keeps the state before it. Its backward pass
//! computes the s states between again and then goes back through them one block at a time, so
//! about 2√N states are alive at the most.

use super::{Blocks, local};
use crate::error::Result;
use crate::parameters::record_modules;
use crate::pass::{Memory, Phase};
use crate::profile::{Part, time};
use crate::residual::{Residual, evaluate};
use crate::scheme::{Scheme, State, sweep};
use burn::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

pub(super) fn forward<R: Residual>(
    blocks: Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let scheme = blocks.scheme.as_ref();
    let count = blocks.count();
    let length = (count as f64).sqrt().ceil().max(1.0) as usize;
    let mut packed = pack(sweep::open(scheme, input));
    for first in (0..count).step_by(length) {
        packed = segment(&blocks, first..(first + length).min(count), packed, phase)?;
    }
    Ok(sweep::close(scheme, unpack(packed)))
}

fn segment<R: Residual>(
    blocks: &Blocks<'_, R>,
    range: Range<usize>,
    packed: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let per_block = blocks.scheme.residuals_per_block();
    let own = &blocks.residuals[range.start * per_block..range.end * per_block];
    let mut recomputation = Segment {
        first_residual: range.start * per_block,
        residuals: local::detach(own),
        memory: Memory::new(phase, blocks.site.clone()),
        range,
        scheme: Arc::clone(blocks.scheme),
    };
    let start = packed.clone().inner();
    let output = time(Part::Units, || pack(recomputation.forward(unpack(start.clone()))));
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
    memory: Memory,
}

impl<R: Residual> Segment<R> {
    /// Through all blocks for the first time.
    fn forward(&mut self, start: State) -> State {
        self.range.clone().fold(start, |state, block| {
            sweep::step(self.scheme.update(block), state, &mut |term, x| {
                let residual = &self.residuals[term.residual - self.first_residual];
                self.memory
                    .first(term.residual, term.role, |pass| evaluate(residual, term.role, x, pass))
            })
        })
    }

    /// Through one block again.
    fn step_again(&self, block: usize, state: State) -> State {
        sweep::step(self.scheme.update(block), state, &mut |term, x| {
            let residual = &self.residuals[term.residual - self.first_residual];
            self.memory
                .again(term.residual, term.role, |pass| evaluate(residual, term.role, x, pass))
        })
    }

    fn backward(self, start: Tensor<4>, gradient: Tensor<4>) -> (Tensor<4>, Vec<Tensor<1>>) {
        let mut states = vec![unpack(start)];
        for block in self.range.clone() {
            if let Some(state) = states.last().cloned() {
                states.push(self.step_again(block, state));
            }
        }
        let mut gradient = unpack(gradient);
        let mut parameters =
            local::ParameterGradients::from(self.first_residual, &self.residuals, &self.memory);
        let mut after = states.pop();
        for block in self.range.clone().rev() {
            let (Some(state), Some(before)) = (after, states.pop()) else { break };
            let stepped = sweep::unstep_with_gradient(
                self.scheme.update(block),
                state,
                Some(before),
                gradient,
                &mut |term, x, cotangent| parameters.pull_back(term, x, cotangent),
            );
            // The state before the block is known, so that no inverse is needed.
            let Some((before, earlier)) = stepped else { unreachable!("a known state") };
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
