//! The checkpointed mode: states are kept at every s-th block, s = ⌈√N⌉.
//!
//! Each segment of s blocks is one autodiff node that keeps the state before it. Its backward pass
//! recomputes the s states inside the segment and then differentiates block by block, so at most about
//! 2√N states are in memory.

use super::blocks::Blocks;
use super::evaluations::Evaluations;
use super::local;
use crate::autodiff::record_modules;
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Evaluation, Scheme, State, sweep};
use burn::tensor::Tensor;
use palinode_kernels::profile::Section;
use std::ops::Range;
use std::sync::Arc;

pub(super) fn forward<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let scheme = blocks.scheme.as_ref();
    let count = blocks.count();
    let length = segment_length(count);
    let start = sweep::open(scheme, input).rounded(blocks.site.grid_in(phase));
    let mut packed = start.joined();
    for first in (0..count).step_by(length) {
        packed = segment(blocks, first..(first + length).min(count), packed, phase)?;
    }
    Ok(sweep::close(scheme, State::split(packed)))
}

/// The blocks s of a segment of a unit of `blocks` blocks: ⌈√N⌉, and at least 1.
pub(crate) fn segment_length(blocks: usize) -> usize {
    let root = blocks.isqrt();
    (root + usize::from(root * root < blocks)).max(1)
}

fn segment<R: Residual>(
    blocks: &Blocks<'_, R>,
    range: Range<usize>,
    packed: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let per_block = blocks.scheme.residuals_per_block();
    let own = &blocks.residuals[range.start * per_block..range.end * per_block];
    let mut segment = Segment {
        first_residual: range.start * per_block,
        residuals: local::detach(own),
        evaluations: blocks.evaluations(phase),
        range,
        scheme: Arc::clone(blocks.scheme),
    };
    let start = packed.clone().inner();
    let forward = || segment.forward(State::split(start.clone()));
    let output = blocks.context.profile().time(Section::Units, forward)?.joined();
    record_modules((blocks.context, Section::Units), packed, own, output, move |gradient| {
        // Burn's backward pass cannot return an error. None is expected, since the forward pass has
        // evaluated the same residuals on the same shapes.
        let found = segment.backward(start, gradient);
        found.unwrap_or_else(|error| panic!("backward pass of a checkpointed unit: {error}"))
    })
}

/// What the backward pass of one segment needs.
struct Segment<R> {
    scheme: Arc<dyn Scheme>,
    range: Range<usize>,
    residuals: Vec<R>,
    /// Index of `residuals[0]` in the unit.
    first_residual: usize,
    evaluations: Evaluations,
}

impl<R: Residual> Segment<R> {
    /// The state after the last block, by first evaluations.
    fn forward(&mut self, start: State) -> Result<State> {
        let grid = self.evaluations.grid();
        self.range.clone().try_fold(start, |state, block| {
            let (residuals, first) = (&self.residuals, self.first_residual);
            let evaluations = &mut self.evaluations;
            let scheme = self.scheme.as_ref();
            sweep::Block { scheme, block, grid }.step(state, &mut |evaluation, x| {
                evaluations.first_value(&residuals[evaluation.residual - first], evaluation, x)
            })
        })
    }

    /// The state after one block, by second evaluations.
    fn step_again(&self, block: usize, state: State) -> Result<State> {
        self.block(block).step(state, &mut |evaluation, x| self.value_again(evaluation, x))
    }

    fn block(&self, block: usize) -> sweep::Block<'_> {
        let grid = self.evaluations.grid();
        sweep::Block { scheme: self.scheme.as_ref(), block, grid }
    }

    fn value_again(&self, evaluation: Evaluation, x: Tensor<4>) -> Result<Tensor<4>> {
        let residual = &self.residuals[evaluation.residual - self.first_residual];
        self.evaluations.value_again(residual, evaluation, x)
    }

    fn backward(
        self,
        start: Tensor<4>,
        gradient: Tensor<4>,
    ) -> Result<(Tensor<4>, Vec<Tensor<1>>)> {
        // `before` has the state before every block; `state` ends as the one after the last.
        let mut before = Vec::with_capacity(self.range.len());
        let mut state = State::split(start);
        for block in self.range.clone() {
            before.push(state.clone());
            state = self.step_again(block, state)?;
        }
        let mut gradient = State::split(gradient);
        let mut parameters =
            local::ParameterGradients::new(self.first_residual, &self.residuals, &self.evaluations);
        for (block, known) in self.range.clone().zip(before).rev() {
            (state, gradient) = self.block(block).unstep_with_gradient(
                state,
                Some(known),
                gradient,
                &mut |evaluation, x| self.value_again(evaluation, x),
                &mut |evaluation, x, cotangent| parameters.vjp(evaluation, x, cotangent),
            )?;
        }
        Ok((gradient.joined(), parameters.finish()))
    }
}
