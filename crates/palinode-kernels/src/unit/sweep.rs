//! A chunk of images through all blocks of a unit, or back.

use super::block::{Block, Direction};
use super::definition::UnitKernel;
use super::residuals::Residuals;
use super::state::StateSlices;
use crate::context::Context;
use crate::error::Error;
use crate::evaluation::{Advance, Purpose};
use crate::microbatch::Chunks;
use crate::projection::{Projection, of_image};
use crate::schedule::{Work, for_each_chunk};
use crate::scratch::Arena;
use crate::token::Token;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// Takes a state through all blocks. The projections of the state before them go to `projections`, unless it is empty.
pub(super) fn sweep(
    unit: &UnitKernel<'_>,
    context: &Context,
    state: StateSlices<'_>,
    direction: Direction,
    projections: &mut [[Projection; 2]],
) -> Result<(), Error> {
    let blocks = unit.blocks()?;
    unit.check_state(&state)?;
    let own = unit.chunks();
    let states = state.chunks(&own, unit.image_len());
    let chunks = with_projections(states, projections, &own);
    let work =
        Sweep { unit, blocks: &blocks, direction, images: own.largest(), state: PhantomData };
    for_each_chunk(context, &work, chunks);
    Ok(())
}

/// All chunks of a batch through all blocks.
struct Sweep<'u, 's> {
    unit: &'u UnitKernel<'u>,
    blocks: &'u [Block],
    direction: Direction,
    /// The most images of a chunk.
    images: usize,
    state: PhantomData<fn(StateSlices<'s>)>,
}

/// One thread's memory.
struct Memory<'u, 'm> {
    residuals: Residuals<'u, 'm>,
    /// The chunk's state, padded images.
    states: [&'m mut [f32]; 2],
}

impl<'u, 's> Work for Sweep<'u, 's> {
    type Chunk = (StateSlices<'s>, &'s mut [[Projection; 2]]);
    type Memory<'m> = Memory<'u, 'm>;

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Memory<'u, 'm> {
        let padded = self.images * self.unit.geometry().image_len();
        Memory {
            residuals: Residuals::new(arena, self.unit, self.images, Purpose::Values),
            states: [arena.zeros(padded), arena.zeros(padded)],
        }
    }

    fn run(
        &self,
        token: Token,
        memory: &mut Memory<'u, '_>,
        _: usize,
        (state, projections): Self::Chunk,
    ) {
        token.dispatch(Chunk { work: self, memory, state, projections });
    }
}

/// One chunk through all blocks.
struct Chunk<'a, 'u, 's, 'm> {
    work: &'a Sweep<'u, 's>,
    memory: &'a mut Memory<'u, 'm>,
    state: StateSlices<'s>,
    projections: &'s mut [[Projection; 2]],
}

impl WithSimd for Chunk<'_, '_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, memory, mut state, projections } = self;
        let layout = work.unit.geometry().layout();
        let images = state.images(work.unit.image_len());
        state.load(simd, layout, &mut memory.states);
        if let Some(grid) = work.unit.grid {
            let numbers = memory.states.iter_mut().flat_map(|part| part.iter_mut());
            numbers.for_each(|x| *x = grid.nearest(*x));
        }
        project(simd, &memory.states, work.unit.geometry().image_len(), projections);
        let blocks = work.blocks;
        for index in 0..blocks.len() {
            let block = match work.direction {
                Direction::Forward => blocks[index],
                Direction::Inverse => blocks[blocks.len() - 1 - index],
            };
            memory.advance(simd, images, block, work.direction);
        }
        state.store(simd, layout, &memory.states);
    }
}

impl Memory<'_, '_> {
    /// Takes the chunk's state through one block.
    #[inline(always)]
    fn advance<S: Simd>(&mut self, simd: S, images: usize, block: Block, direction: Direction) {
        let Self { residuals, states } = self;
        let grid = residuals.grid();
        let [first, second] = &mut *states;
        match (block, direction) {
            (Block::TwoStream { first: f, second: g }, Direction::Forward) => {
                let increment = f.increment(grid, direction);
                residuals.value(simd, images, f, Advance { increment, x: second, state: first });
                let increment = g.increment(grid, direction);
                residuals.value(simd, images, g, Advance { increment, x: first, state: second });
            }
            (Block::TwoStream { first: f, second: g }, Direction::Inverse) => {
                let increment = g.increment(grid, direction);
                residuals.value(simd, images, g, Advance { increment, x: first, state: second });
                let increment = f.increment(grid, direction);
                residuals.value(simd, images, f, Advance { increment, x: second, state: first });
            }
            // (X_{j−1}, X_j) becomes (X_j, X_{j+1}), or (X_j, X_{j+1}) becomes (X_{j−1}, X_j).
            (Block::TwoStep { drift, residual }, _) => {
                let increment = residual.two_step(drift, grid, direction);
                let (x, state) = match direction {
                    Direction::Forward => (second, first),
                    Direction::Inverse => (first, second),
                };
                residuals.value(simd, images, residual, Advance { increment, x, state });
                states.swap(0, 1);
            }
        }
    }
}

/// Chunks of a state, each with the places for the projections of its images; these are empty if nothing is watched.
pub(super) fn with_projections<'p, C>(
    states: Vec<C>,
    projections: &'p mut [[Projection; 2]],
    chunks: &Chunks,
) -> Vec<(C, &'p mut [[Projection; 2]])> {
    // Numbers for every image: none where nothing is watched.
    let length = usize::from(!projections.is_empty());
    states.into_iter().zip(chunks.split_mut(projections, length)).collect()
}

/// Sets the projections of images from both parts of their state, padded images of `length` numbers.
#[inline(always)]
pub(super) fn project<S: Simd>(
    simd: S,
    states: &[&mut [f32]; 2],
    length: usize,
    projections: &mut [[Projection; 2]],
) {
    for (image, found) in projections.iter_mut().enumerate() {
        for (found, part) in found.iter_mut().zip(states) {
            *found = of_image(simd, &part[image * length..][..length]);
        }
    }
}
