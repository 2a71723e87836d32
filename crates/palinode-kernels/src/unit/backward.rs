//! A chunk of images backward through all blocks of a unit, with all gradients.

use super::block::{Block, Direction};
use super::definition::UnitKernel;
use super::parameters::Gradients;
use super::residuals::Residuals;
use super::state::StateSlices;
use super::sweep::{project, with_projections};
use crate::context::Context;
use crate::error::Error;
use crate::evaluation::{Advance, Purpose};
use crate::projection::Projection;
use crate::recurrence::Drift;
use crate::schedule::{Ordered, Work, bytes_for, for_each_chunk};
use crate::scratch::Arena;
use crate::token::Token;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// See [`UnitKernel::backward`].
pub(super) fn backward(
    unit: &UnitKernel<'_>,
    context: &Context,
    (state, gradient): (StateSlices<'_>, StateSlices<'_>),
    parameters: Vec<Gradients<'_>>,
    projections: &mut [[Projection; 2]],
) -> Result<(), Error> {
    let blocks = unit.blocks()?;
    unit.check_state(&state)?;
    unit.check_state(&gradient)?;
    unit.check_gradients(&parameters)?;
    let purpose = Purpose::Gradients(unit.bf16(context)?);
    let sums = parameters.into_iter().map(|of| [of.kernel, of.bias, of.input_bias]);
    let own = unit.summed_chunks(context);
    let sums = Ordered::new(sums).in_microbatches(&own.ends);
    let states = state.chunks(&own, unit.image_len()).into_iter();
    let states = states.zip(gradient.chunks(&own, unit.image_len())).collect();
    let chunks = with_projections(states, projections, &own);
    let images = own.largest();
    let work = Backward { unit, blocks: &blocks, purpose, images, sums, state: PhantomData };
    for_each_chunk(context, &work, chunks);
    Ok(())
}

/// Bytes of the working memory of [`backward`], on all threads that it uses.
pub(super) fn scratch_bytes(unit: &UnitKernel<'_>, context: &Context) -> Result<usize, Error> {
    let purpose = Purpose::Gradients(unit.bf16(context)?);
    let sums = Ordered::new([]);
    let chunks = unit.summed_chunks(context);
    let images = chunks.largest();
    let work = Backward { unit, blocks: &[], purpose, images, sums, state: PhantomData };
    Ok(bytes_for(context, &work, chunks.images.len()))
}

/// All chunks of a batch backward through all blocks.
struct Backward<'u, 's> {
    unit: &'u UnitKernel<'u>,
    blocks: &'u [Block],
    purpose: Purpose,
    /// The most images of a chunk.
    images: usize,
    /// The gradients with respect to the parameters: K, b and a of one residual per slot.
    sums: Ordered<'u, 3>,
    state: PhantomData<fn(StateSlices<'s>)>,
}

/// One thread's memory.
struct Memory<'u, 'm> {
    residuals: Residuals<'u, 'm>,
    /// The chunk's state, padded images.
    states: [&'m mut [f32]; 2],
    /// The gradient with respect to it.
    gradients: [&'m mut [f32]; 2],
    /// The chunk's share of the gradients with respect to one residual's K, b and a.
    term: &'m mut [f32],
}

impl<'u, 's> Work for Backward<'u, 's> {
    type Chunk = ((StateSlices<'s>, StateSlices<'s>), &'s mut [[Projection; 2]]);
    type Memory<'m> = Memory<'u, 'm>;

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Memory<'u, 'm> {
        let padded = self.images * self.unit.geometry().image_len();
        let channels = self.unit.channels;
        Memory {
            residuals: Residuals::new(arena, self.unit, self.images, self.purpose),
            states: [arena.zeros(padded), arena.zeros(padded)],
            gradients: [arena.zeros(padded), arena.zeros(padded)],
            term: arena.zeros(channels * (9 * channels + 2)),
        }
    }

    fn run(
        &self,
        token: Token,
        memory: &mut Memory<'u, '_>,
        index: usize,
        ((state, gradient), projections): Self::Chunk,
    ) {
        token.dispatch(Chunk { work: self, memory, index, state, gradient, projections });
    }

    fn abandon(&self) {
        self.sums.abandon();
    }
}

/// One chunk backward through all blocks.
struct Chunk<'a, 'u, 's, 'm> {
    work: &'a Backward<'u, 's>,
    memory: &'a mut Memory<'u, 'm>,
    index: usize,
    state: StateSlices<'s>,
    gradient: StateSlices<'s>,
    projections: &'s mut [[Projection; 2]],
}

impl WithSimd for Chunk<'_, '_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, memory, index, mut state, mut gradient, projections } = self;
        let layout = work.unit.geometry().layout();
        let images = state.images(work.unit.image_len());
        state.load(simd, layout, &mut memory.states);
        gradient.load(simd, layout, &mut memory.gradients);
        for &block in work.blocks.iter().rev() {
            memory.retreat(simd, images, block, (&work.sums, index));
        }
        if !projections.is_empty() {
            // σ(0) need not be 0: what is beyond the channels is no part of the state.
            let (geometry, channels) = (work.unit.geometry(), work.unit.channels);
            for part in &mut memory.states {
                for pixel in part.chunks_exact_mut(geometry.depth) {
                    pixel[channels..].fill(0.0);
                }
            }
        }
        project(simd, &memory.states, work.unit.geometry().image_len(), projections);
        state.store(simd, layout, &memory.states);
        gradient.store(simd, layout, &memory.gradients);
    }
}

impl Memory<'_, '_> {
    /// Takes the chunk's state and gradient back through one block, and adds the gradients with respect
    /// to its residuals' parameters to the sums.
    ///
    /// (No closures here: they would be compiled without the instruction set that the method is inlined
    /// into.)
    #[inline(always)]
    fn retreat<S: Simd>(
        &mut self,
        simd: S,
        images: usize,
        block: Block,
        (sums, index): (&Ordered<'_, 3>, usize),
    ) {
        let Self { residuals, states, gradients, term } = self;
        let grid = residuals.grid();
        let ([first, second], [g_first, g_second]) = (&mut *states, &mut *gradients);
        term.fill(0.0);
        match block {
            Block::TwoStream { first: f, second: g } => {
                let increment = g.increment(grid, Direction::Inverse);
                let advance = Advance { increment, x: first, state: second };
                residuals.vjp(simd, images, g, (g_second, g_first), advance, term);
                if f.index != g.index {
                    sums.commit(g.index, index, term);
                    term.fill(0.0);
                }
                let increment = f.increment(grid, Direction::Inverse);
                let advance = Advance { increment, x: second, state: first };
                residuals.vjp(simd, images, f, (g_first, g_second), advance, term);
                sums.commit(f.index, index, term);
            }
            // (X_j, X_{j+1}) becomes (X_{j−1}, X_j).
            Block::TwoStep { drift, residual } => {
                let increment = residual.two_step(drift, grid, Direction::Inverse);
                let advance = Advance { increment, x: first, state: second };
                residuals.vjp(simd, images, residual, (g_second, g_first), advance, term);
                sums.commit(residual.index, index, term);
                if drift == Drift::Extrapolated {
                    for (g, next) in g_first.iter_mut().zip(g_second.iter_mut()) {
                        *g += 2.0 * *next;
                        *next = -*next;
                    }
                }
                states.swap(0, 1);
                gradients.swap(0, 1);
            }
        }
    }
}
