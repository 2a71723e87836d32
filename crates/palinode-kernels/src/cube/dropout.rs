//! Dropout with the masks that the CPU draws.

use crate::dropout::Mask;
use crate::error::Error;
use cubecl::client::Client;
use cubecl::ir::ElemType;
use cubecl::prelude::*;
use cubecl::{self, calculate_cube_count_elemwise};

/// Words of one block of the generator.
const WORDS: usize = 16;

/// y = x times the mask, for buffers `x` and `y` of elements of type `dtype`.
///
/// The mask has the bits of [`Mask::fill`]: every thread draws one block of 16 words of the same ChaCha8
/// generator. Elements are counted through the whole buffer.
///
/// # Errors
/// As [`Mask::fill`]; [`Error::Length`] if the buffers have different lengths.
pub fn drop_elements(
    client: &Client,
    mask: Mask,
    dtype: ElemType,
    x: BufferArg,
    y: BufferArg,
) -> Result<(), Error> {
    if x.len() != y.len() {
        return Err(Error::Length { what: "y", expected: x.len(), found: y.len() });
    }
    let drawn = mask.drawn()?;
    let blocks = x.len().div_ceil(WORDS);
    if blocks == 0 {
        return Ok(());
    }
    let dim = CubeDim::new(client, blocks);
    let count = calculate_cube_count_elemwise(client, blocks, dim);
    let start = client.create_from_slice(bytemuck::cast_slice(&drawn.block));
    // SAFETY: `start` has just been made of this many words.
    let start = unsafe { BufferArg::from_raw_parts(start, WORDS) };
    drop_kernel::launch(client, count, dim, x, y, start, drawn.threshold, drawn.kept, dtype);
    Ok(())
}

/// `start` is the block of element 0 before its rounds; word 12 counts the blocks.
#[cube(launch)]
fn drop_kernel<F: Float>(
    x: &[F],
    y: &mut [F],
    start: &[u32],
    threshold: u32,
    kept: f32,
    #[define(F)] _dtype: ElemType,
) {
    let first = ABSOLUTE_POS * WORDS;
    if first >= y.len() {
        terminate!();
    }
    let mut state = Array::<u32>::new(WORDS);
    #[unroll]
    for word in 0..WORDS {
        state[word] = start[word];
    }
    state[12] += ABSOLUTE_POS as u32;
    // Eight rounds: columns, then diagonals, four times.
    for _ in 0..4 {
        #[unroll]
        for column in 0..4usize {
            quarter_round(
                &mut state,
                column,
                comptime!(column + 4),
                comptime!(column + 8),
                comptime!(column + 12),
            );
        }
        #[unroll]
        for column in 0..4usize {
            quarter_round(
                &mut state,
                column,
                comptime!((column + 1) % 4 + 4),
                comptime!((column + 2) % 4 + 8),
                comptime!((column + 3) % 4 + 12),
            );
        }
    }
    state[12] += ABSOLUTE_POS as u32;
    #[unroll]
    for word in 0..WORDS {
        let element = first + word;
        if element < y.len() {
            let drawn = state[word] + start[word];
            let factor = select(drawn >= threshold, F::cast_from(kept), F::new(0.0));
            y[element] = x[element] * factor;
        }
    }
}

/// A quarter of a round of ChaCha, on words a, b, c and d.
#[cube]
fn quarter_round(
    state: &mut Array<u32>,
    #[comptime] a: usize,
    #[comptime] b: usize,
    #[comptime] c: usize,
    #[comptime] d: usize,
) {
    state[a] += state[b];
    state[d] = rotated(state[d] ^ state[a], 16u32);
    state[c] += state[d];
    state[b] = rotated(state[b] ^ state[c], 12u32);
    state[a] += state[b];
    state[d] = rotated(state[d] ^ state[a], 8u32);
    state[c] += state[d];
    state[b] = rotated(state[b] ^ state[c], 7u32);
}

/// `word` rotated to the left by `bits`.
#[cube]
fn rotated(word: u32, #[comptime] bits: u32) -> u32 {
    (word << bits) | (word >> comptime!(32 - bits))
}
