//! Products of rounded factors on AMX's tiles.

use super::pair::{Pair, pair_neighbours, pair_rows, pair_two_rows};
use crate::amx::{Amx, Rows, Tiles};
use crate::register::PANEL;
use crate::transpose::transposed;
use crate::winograd::gemm::{ROWS, Side, check};
use crate::winograd::tile::Points;
use std::arch::x86_64::{
    __m512, _mm256_storeu_si256, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_castsi512_si256,
    _mm512_setzero_ps, _mm512_storeu_si512,
};

/// Rows of a register of AMX. The terms of a sum are padded to a multiple of them.
const EDGE: usize = 16;

/// How many points the rounding of factors is ahead of their multiplication: a tile can be read only when
/// what was written to its lines has reached the cache.
const AHEAD: usize = 2;

/// Points whose factors are kept at a time.
const SLOTS: usize = AHEAD + 1;

/// Terms that are added to a sum at a time: as many as a register holds, if the sum's terms are a multiple of
/// them.
fn block_terms(terms: usize) -> usize {
    if terms.is_multiple_of(2 * EDGE) { 2 * EDGE } else { EDGE }
}

/// The length of an array of factors.
pub(super) fn factors(at: Points) -> usize {
    SLOTS * slot(at, at.stride / at.depth)
}

/// Pairs of one point of a strip of `tiles` tiles, for the terms of two pairs of sides.
fn slot(at: Points, tiles: usize) -> usize {
    tiles.next_multiple_of(EDGE) * at.depth
}

/// See [`Rounded::multiply`](super::rounded::Rounded::multiply).
///
/// # Panics
/// If the depth is no multiple of 16 or a slice is too short.
#[target_feature(enable = "avx,avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
pub(super) fn multiply_tiled(
    amx: Amx,
    at: Points,
    tiles: usize,
    (a, out): Side<'_>,
    u: &[Pair],
    factors: &mut [Pair],
) {
    let Points { count, stride, channels, depth } = at;
    let (rows, plane, slot) = (tiles.next_multiple_of(ROWS), depth * depth / 2, slot(at, tiles));
    check(at, rows, [a.len(), out.len()], (u.len(), plane));
    assert!(factors.len() >= SLOTS * slot);
    let terms = block_terms(depth);
    let blocks = channels.div_ceil(terms);
    for row in (0..rows).step_by(EDGE) {
        let rows = EDGE.min(rows - row);
        amx.with_tiles(rows, terms, |registers| {
            for step in 0..count + AHEAD {
                // SAFETY: this function requires the processor's features, but for AMX, which `amx` proves. `rows`
                // is a multiple of 8 and the depth one of 16, so rows·depth is one of 128. As checked above, a
                // and out cover these rows from point·stride on, u a matrix at every point, and the factors
                // SLOTS slots, each large enough for the rows' pairs. Blocks of terms end at the depth at the
                // latest, and panels have 16 or 32 columns.
                unsafe {
                    if step < count {
                        let from = a.as_ptr().add(step * stride + row * depth);
                        let into = factors.as_mut_ptr().add(step % SLOTS * slot);
                        pair_neighbours(rows * depth, from, into);
                    }
                    let Some(point) = step.checked_sub(AHEAD) else { continue };
                    let a = factors.as_ptr().add(point % SLOTS * slot);
                    let a = Rows { at: a.cast(), bytes: 2 * depth };
                    let u = u.as_ptr().add(point * plane);
                    let out = out.as_mut_ptr().add(point * stride + row * depth);
                    for start in (0..depth).step_by(PANEL) {
                        let width = PANEL.min(depth - start);
                        let b = Rows { at: u.add(start * depth / 2).cast(), bytes: 4 * width };
                        let out = Rows { at: out.add(start), bytes: 4 * depth };
                        multiply_panel::<false>(registers, width, blocks, a, b, out);
                    }
                }
            }
        });
    }
}

/// [`Tiles::multiply`] for the width of a panel, 16 or 32.
///
/// # Safety
/// As [`Tiles::multiply`] with 32 columns if the width is [`PANEL`], and with 16 otherwise.
#[inline(always)]
unsafe fn multiply_panel<const ADD: bool>(
    registers: &Tiles,
    width: usize,
    blocks: usize,
    a: Rows<*const u32>,
    b: Rows<*const u32>,
    out: Rows<*mut f32>,
) {
    // SAFETY: the contract is the same.
    unsafe {
        match width {
            PANEL => registers.multiply::<true, ADD>(blocks, a, b, out),
            _ => registers.multiply::<false, ADD>(blocks, a, b, out),
        }
    }
}

/// See [`Rounded::add_outer`](super::rounded::Rounded::add_outer). The terms of a sum are the tiles of the first
/// pair, zeros up to a multiple of sixteen, then the tiles of the second pair and zeros.
///
/// # Panics
/// If the depth is no multiple of 16 or a slice is too short.
#[target_feature(enable = "avx,avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
pub(super) fn add_outer_tiled<const P: usize>(
    amx: Amx,
    at: Points,
    tiles: usize,
    pairs: [(&[f32], &[f32]); P],
    out: &mut [f32],
    [left, right, ..]: &mut [&mut [Pair]; 4],
) {
    const { assert!(P <= 2) };
    let Points { count, stride, channels, depth } = at;
    let (plane, slot, each) = (depth * depth, slot(at, tiles), tiles.next_multiple_of(EDGE));
    let terms = P * each;
    check(at, tiles, pairs.iter().map(|(a, b)| a.len().min(b.len())), (out.len(), plane));
    assert!(tiles > 0 && left.len().min(right.len()) >= SLOTS * slot);
    let blocks = terms / block_terms(terms);
    amx.with_tiles(EDGE, block_terms(terms), |registers| {
        for step in 0..count + AHEAD {
            // SAFETY: this function requires the processor's features, but for AMX, which `amx` proves. As checked
            // above, every a and b covers `tiles` rows from point·stride on, out a matrix at every point, and
            // left and right SLOTS slots. A slot holds P·each terms of `depth` channels, as pairs, since P ≤ 2.
            // Blocks of terms end at `terms`; rows of out end at the depth, a multiple of EDGE.
            unsafe {
                if step < count {
                    let (from, slot) = (step * stride, step % SLOTS * slot);
                    let a = pairs.map(|(a, _)| a.as_ptr().add(from));
                    pair_columns(tiles, depth, a, left.as_mut_ptr().add(slot));
                    for (p, (_, b)) in pairs.iter().enumerate() {
                        let into = right.as_mut_ptr().add(slot + p * each / 2 * depth);
                        pair_rows(tiles, depth, b.as_ptr().add(from), into);
                        let filled = tiles.div_ceil(2) * depth;
                        into.add(filled).write_bytes(0, each / 2 * depth - filled);
                    }
                }
                let Some(point) = step.checked_sub(AHEAD) else { continue };
                let slot = point % SLOTS * slot;
                let out = out.as_mut_ptr().add(point * plane);
                for start in (0..depth).step_by(PANEL) {
                    let width = PANEL.min(depth - start);
                    let b = right.as_ptr().add(slot + start);
                    let b = Rows { at: b.cast(), bytes: 4 * depth };
                    for row in (0..channels).step_by(EDGE) {
                        let a = left.as_ptr().add(slot + row * terms / 2);
                        let a = Rows { at: a.cast(), bytes: 2 * terms };
                        let out = out.add(start * depth + row * width);
                        let out = Rows { at: out, bytes: 4 * width };
                        multiply_panel::<true>(registers, width, blocks, a, b, out);
                    }
                }
            }
        }
    });
}

/// Rounds and transposes `tiles` rows of `depth` numbers of every side: row i of the result holds the numbers i of
/// the first side's rows and zeros up to a multiple of sixteen, then those of the next side, and so on.
///
/// # Safety
/// The processor has AVX-512 with products in bf16. The depth is a multiple of 16. Every `from` is valid for
/// reads of `tiles` rows of `depth` numbers, and `into` for writes of `depth` rows of P times the tiles, rounded
/// up to a multiple of sixteen, in pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pair_columns<const P: usize>(
    tiles: usize,
    depth: usize,
    from: [*const f32; P],
    into: *mut Pair,
) {
    // The eight pairs of sixteen tiles are half a line.
    let halves = P * tiles.div_ceil(EDGE);
    for column in (0..depth).step_by(16) {
        let mut lines = [_mm512_setzero_ps(); 16];
        let mut half = 0;
        for from in from {
            for first in (0..tiles).step_by(EDGE) {
                for (pair, line) in lines[half % 2 * 8..][..8].iter_mut().enumerate() {
                    let tile = first + 2 * pair;
                    let from = from.wrapping_add(tile * depth + column);
                    // SAFETY: as many rows as there are from `tile` on are read, 16 numbers from `column` on;
                    // the caller vouches for them. (The pointer may be behind the last row, but is not read then.)
                    let pairs = unsafe { pair_two_rows(tiles.saturating_sub(tile), depth, from) };
                    *line = _mm512_castsi512_ps(pairs);
                }
                half += 1;
                if half % 2 == 0 || half == halves {
                    // SAFETY: rows column … column + 15 of the result, `halves` times eight pairs each; the
                    // line lies at the half before, or if their number is odd, half a line at the last.
                    unsafe {
                        let into = into.add(column * halves * 8 + (half - 1) / 2 * 16);
                        store_columns(lines, half % 2 == 0, into, halves * 8);
                    }
                }
            }
        }
    }
}

/// Writes the columns of a square of pairs as rows, `stride` pairs apart: sixteen pairs of each, or the first
/// eight unless `whole`.
///
/// # Safety
/// The processor has AVX-512. `into` is valid for writes of so many pairs in sixteen rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
unsafe fn store_columns(lines: [__m512; 16], whole: bool, into: *mut Pair, stride: usize) {
    for (column, pairs) in transposed(lines).into_iter().enumerate() {
        let pairs = _mm512_castps_si512(pairs);
        // SAFETY: `column` is below sixteen; 64 bytes are sixteen pairs and 32 bytes eight; the caller vouches for
        // them.
        unsafe {
            let into = into.add(column * stride);
            if whole {
                _mm512_storeu_si512(into.cast(), pairs);
            } else {
                _mm256_storeu_si256(into.cast(), _mm512_castsi512_si256(pairs));
            }
        }
    }
}
