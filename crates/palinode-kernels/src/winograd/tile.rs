//! The two-dimensional transforms of single tiles, sixteen (or so) channels at a time.

// The transposes between two one-dimensional transforms index by row and column.
#![allow(clippy::needless_range_loop)]

use super::gemm::{load, store};
use super::transform;
use pulp::Simd;

/// Where the points of a strip's tiles lie: `[point][tile][channel]`.
#[derive(Clone, Copy)]
pub(super) struct Points {
    /// Floats from one point to the next.
    pub stride: usize,
    /// Channels, a multiple of 16.
    pub depth: usize,
}

impl Points {
    /// Floats from the first point's first channel to the end of tile `tile` at the last point.
    fn end(self, tile: usize) -> usize {
        35 * self.stride + (tile + 1) * self.depth
    }
}

/// BᵀdB of the 6×6 patch at the start of `x` (`row` floats from row to row) into tile `tile`.
#[inline(always)]
pub(super) fn gather<S: Simd>(
    simd: S,
    x: &[f32],
    row: usize,
    points: &mut [f32],
    at: Points,
    tile: usize,
) {
    assert!(x.len() >= 5 * row + 6 * at.depth && points.len() >= at.end(tile));
    for channel in (0..at.depth).step_by(S::F32_LANES) {
        let mut half = [[simd.splat_f32s(0.0); 6]; 6];
        for column in 0..6 {
            let mut d = [simd.splat_f32s(0.0); 6];
            for (r, d) in d.iter_mut().enumerate() {
                // SAFETY: r ≤ 5, column ≤ 5 and channel + lanes ≤ depth: inside `x` as asserted.
                *d = unsafe { load::<S>(x.as_ptr().add(r * row + column * at.depth + channel)) };
            }
            let transformed = transform::input(simd, d);
            for r in 0..6 {
                half[r][column] = transformed[r];
            }
        }
        for (r, half) in half.into_iter().enumerate() {
            for (column, value) in transform::input(simd, half).into_iter().enumerate() {
                let to = (r * 6 + column) * at.stride + tile * at.depth + channel;
                // SAFETY: at most `end(tile)` with the vector, as asserted.
                unsafe { store::<S>(points.as_mut_ptr().add(to), value) };
            }
        }
    }
}

/// Adds BnBᵀ of tile `tile` to the 6×6 patch at the start of `into`, six rows of `row` floats.
///
/// What lies below the second row and right of the second column is overwritten, not added to: no
/// tile before this one has reached it.
#[inline(always)]
pub(super) fn scatter<S: Simd>(
    simd: S,
    points: &[f32],
    at: Points,
    tile: usize,
    into: &mut [f32],
    row: usize,
) {
    assert!(into.len() >= 5 * row + 6 * at.depth && points.len() >= at.end(tile));
    for channel in (0..at.depth).step_by(S::F32_LANES) {
        let mut half = [[simd.splat_f32s(0.0); 6]; 6];
        for (r, half) in half.iter_mut().enumerate() {
            let mut n = [simd.splat_f32s(0.0); 6];
            for (column, n) in n.iter_mut().enumerate() {
                let from = (r * 6 + column) * at.stride + tile * at.depth + channel;
                // SAFETY: at most `end(tile)` with the vector, as asserted.
                *n = unsafe { load::<S>(points.as_ptr().add(from)) };
            }
            *half = transform::input_adjoint(simd, n);
        }
        for column in 0..6 {
            let mut n = [simd.splat_f32s(0.0); 6];
            for r in 0..6 {
                n[r] = half[r][column];
            }
            for (r, value) in transform::input_adjoint(simd, n).into_iter().enumerate() {
                // SAFETY: r ≤ 5, column ≤ 5 and channel + lanes ≤ depth: inside as asserted.
                unsafe {
                    let to = into.as_mut_ptr().add(r * row + column * at.depth + channel);
                    let reached = r < 2 || column < 2;
                    let sum = if reached { simd.add_f32s(load::<S>(to), value) } else { value };
                    store::<S>(to, sum);
                }
            }
        }
    }
}

/// Aᵀ·m·A of one tile and vector of channels.
#[inline(always)]
pub(super) fn to_pixels<S: Simd>(
    simd: S,
    points: &[f32],
    at: Points,
    tile: usize,
    channel: usize,
) -> [[S::f32s; 4]; 4] {
    assert!(channel + S::F32_LANES <= at.depth && points.len() >= at.end(tile));
    let mut half = [[simd.splat_f32s(0.0); 4]; 6];
    for (row, half) in half.iter_mut().enumerate() {
        let mut m = [simd.splat_f32s(0.0); 6];
        for (column, m) in m.iter_mut().enumerate() {
            let from = (row * 6 + column) * at.stride + tile * at.depth + channel;
            // SAFETY: at most `end(tile)` with the vector, as asserted.
            *m = unsafe { load::<S>(points.as_ptr().add(from)) };
        }
        *half = transform::output(simd, m);
    }
    let mut pixels = [[simd.splat_f32s(0.0); 4]; 4];
    for column in 0..4 {
        let mut m = [simd.splat_f32s(0.0); 6];
        for row in 0..6 {
            m[row] = half[row][column];
        }
        for (row, value) in transform::output(simd, m).into_iter().enumerate() {
            pixels[row][column] = value;
        }
    }
    pixels
}

/// A·pixels·Aᵀ into one tile and vector of channels.
#[inline(always)]
pub(super) fn to_points<S: Simd>(
    simd: S,
    pixels: [[S::f32s; 4]; 4],
    points: &mut [f32],
    at: Points,
    tile: usize,
    channel: usize,
) {
    assert!(channel + S::F32_LANES <= at.depth && points.len() >= at.end(tile));
    let mut half = [[simd.splat_f32s(0.0); 6]; 4];
    for (half, row) in half.iter_mut().zip(pixels) {
        *half = transform::output_adjoint(simd, row);
    }
    for column in 0..6 {
        let mut y = [simd.splat_f32s(0.0); 4];
        for row in 0..4 {
            y[row] = half[row][column];
        }
        for (row, value) in transform::output_adjoint(simd, y).into_iter().enumerate() {
            let to = (row * 6 + column) * at.stride + tile * at.depth + channel;
            // SAFETY: at most `end(tile)` with the vector, as asserted.
            unsafe { store::<S>(points.as_mut_ptr().add(to), value) };
        }
    }
}
