//! The two-dimensional transforms of single tiles, one vector of channels at a time: m×m pixels, patches of
//! p×p, p = m + 2.

#![allow(
    clippy::needless_range_loop,
    reason = "the transposes between two one-dimensional transforms index by row and column"
)]

use super::transform;
use crate::register::{load, store};
use pulp::Simd;

/// Where the points of a strip's tiles lie: `[point][tile][channel]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points {
    /// Points, p².
    pub count: usize,
    /// Floats from one point to the next.
    pub stride: usize,
    /// Channels of the image.
    pub channels: usize,
    /// Channels with padding, a multiple of 16.
    pub depth: usize,
}

impl Points {
    /// Floats from the first point's first channel to the end of tile `tile` at the last point.
    fn end(self, tile: usize) -> usize {
        (self.count - 1) * self.stride + (tile + 1) * self.depth
    }
}

/// BᵀdB of the overlapping p×p patches of a row of `columns` tiles, the first at the start of `x`
/// (`row` floats from row to row), into the tiles from `first` on.
///
/// Neighbouring patches share two columns, whose vertical transforms are computed once.
#[inline(always)]
pub(super) fn gather<S: Simd, const M: usize, const P: usize>(
    simd: S,
    x: &[f32],
    row: usize,
    points: &mut [f32],
    at: Points,
    (first, columns): (usize, usize),
) {
    assert!(columns > 0 && x.len() >= (P - 1) * row + (M * columns + 2) * at.depth);
    assert!(at.count == P * P && points.len() >= at.end(first + columns - 1));
    for channel in (0..at.depth).step_by(S::F32_LANES) {
        // SAFETY: x is read at pixels up to column M·columns + 1 of rows up to P − 1, one vector of channels
        // below `depth` each: inside the slice, as asserted. Points are written at up to P² points of the last
        // tile, `at.end` of which is inside the slice, as asserted.
        unsafe {
            let mut x = x.as_ptr().add(channel);
            let mut points = points.as_mut_ptr().add(first * at.depth + channel);
            let mut shared = [vertical(simd, x, row), vertical(simd, x.add(at.depth), row)];
            for _ in 0..columns {
                let mut patch = [[simd.splat_f32s(0.0); P]; P];
                [patch[0], patch[1]] = shared;
                for column in 2..P {
                    patch[column] = vertical::<S, P>(simd, x.add(column * at.depth), row);
                }
                for r in 0..P {
                    let mut d = [simd.splat_f32s(0.0); P];
                    for column in 0..P {
                        d[column] = patch[column][r];
                    }
                    for (column, value) in transform::input(simd, d).into_iter().enumerate() {
                        store::<S>(points.add((r * P + column) * at.stride), value);
                    }
                }
                shared = [patch[P - 2], patch[P - 1]];
                x = x.add(M * at.depth);
                points = points.add(at.depth);
            }
        }
    }
}

/// Bᵀ of p pixels, one below the other, from `x` on.
///
/// # Safety
/// `x` is valid for reads of a vector in p rows, `row` floats apart.
#[inline(always)]
unsafe fn vertical<S: Simd, const P: usize>(simd: S, x: *const f32, row: usize) -> [S::f32s; P] {
    let mut d = [simd.splat_f32s(0.0); P];
    for (r, d) in d.iter_mut().enumerate() {
        // SAFETY: row r is below P; the caller vouches for it.
        *d = unsafe { load::<S>(x.add(r * row)) };
    }
    transform::input(simd, d)
}

/// Adds up BnBᵀ of a row of `columns` tiles from `first` on, into p rows of m·columns + 2 pixels (`row` floats
/// each) at the start of `into`. It adds to the two upper rows and overwrites the others.
///
/// Where neighbouring patches overlap, their sum is taken before the vertical transform.
#[inline(always)]
pub(super) fn scatter<S: Simd, const M: usize, const P: usize>(
    simd: S,
    points: &[f32],
    at: Points,
    (first, columns): (usize, usize),
    into: &mut [f32],
    row: usize,
) {
    assert!(columns > 0 && into.len() >= (P - 1) * row + (M * columns + 2) * at.depth);
    assert!(at.count == P * P && points.len() >= at.end(first + columns - 1));
    for channel in (0..at.depth).step_by(S::F32_LANES) {
        let zero = simd.splat_f32s(0.0);
        let mut shared = [[zero; P]; 2];
        // SAFETY: as in `gather`: `into` is touched at pixels up to column M·columns + 1 of rows up to P − 1,
        // and points are read up to `at.end` of the last tile; both are inside their slices, as asserted.
        unsafe {
            let mut points = points.as_ptr().add(first * at.depth + channel);
            let mut into = into.as_mut_ptr().add(channel);
            for _ in 0..columns {
                let mut half = [[zero; P]; P];
                for (r, half) in half.iter_mut().enumerate() {
                    let mut n = [zero; P];
                    for (column, n) in n.iter_mut().enumerate() {
                        *n = load::<S>(points.add((r * P + column) * at.stride));
                    }
                    *half = transform::input_adjoint(simd, n);
                    half[0] = simd.add_f32s(half[0], shared[0][r]);
                    half[1] = simd.add_f32s(half[1], shared[1][r]);
                    shared[0][r] = half[P - 2];
                    shared[1][r] = half[P - 1];
                }
                for column in 0..M {
                    let mut n = [zero; P];
                    for r in 0..P {
                        n[r] = half[r][column];
                    }
                    add_column(simd, n, into.add(column * at.depth), row);
                }
                points = points.add(at.depth);
                into = into.add(M * at.depth);
            }
            add_column(simd, shared[0], into, row);
            add_column(simd, shared[1], into.add(at.depth), row);
        }
    }
}

/// B of p points into p pixels, one below the other, from `into` on: it adds to the two upper ones and sets
/// the others.
///
/// # Safety
/// `into` is valid for reads and writes of a vector in p rows, `row` floats apart.
#[inline(always)]
unsafe fn add_column<S: Simd, const P: usize>(
    simd: S,
    n: [S::f32s; P],
    into: *mut f32,
    row: usize,
) {
    for (r, value) in transform::input_adjoint(simd, n).into_iter().enumerate() {
        // SAFETY: row r is below P; the caller vouches for it.
        unsafe {
            let into = into.add(r * row);
            let sum = if r < 2 { simd.add_f32s(load::<S>(into), value) } else { value };
            store::<S>(into, sum);
        }
    }
}

/// Aᵀ·m·A of one tile and vector of channels.
#[inline(always)]
pub(super) fn to_pixels<S: Simd, const M: usize, const P: usize>(
    simd: S,
    points: &[f32],
    at: Points,
    tile: usize,
    channel: usize,
) -> [[S::f32s; M]; M] {
    assert!(at.count == P * P);
    assert!(channel + S::F32_LANES <= at.depth && points.len() >= at.end(tile));
    let mut half = [[simd.splat_f32s(0.0); M]; P];
    for (row, half) in half.iter_mut().enumerate() {
        let mut m = [simd.splat_f32s(0.0); P];
        for (column, m) in m.iter_mut().enumerate() {
            let from = (row * P + column) * at.stride + tile * at.depth + channel;
            // SAFETY: point row·P + column is below P², and the vector ends at the depth, so it ends at
            // `at.end(tile)` at the latest, which is inside the slice, as asserted.
            *m = unsafe { load::<S>(points.as_ptr().add(from)) };
        }
        *half = transform::output(simd, m);
    }
    let mut pixels = [[simd.splat_f32s(0.0); M]; M];
    for column in 0..M {
        let mut m = [simd.splat_f32s(0.0); P];
        for row in 0..P {
            m[row] = half[row][column];
        }
        let values: [S::f32s; M] = transform::output(simd, m);
        for (row, value) in values.into_iter().enumerate() {
            pixels[row][column] = value;
        }
    }
    pixels
}

/// A·pixels·Aᵀ into one tile and vector of channels.
#[inline(always)]
pub(super) fn to_points<S: Simd, const M: usize, const P: usize>(
    simd: S,
    pixels: [[S::f32s; M]; M],
    points: &mut [f32],
    at: Points,
    tile: usize,
    channel: usize,
) {
    assert!(at.count == P * P);
    assert!(channel + S::F32_LANES <= at.depth && points.len() >= at.end(tile));
    let mut half = [[simd.splat_f32s(0.0); P]; M];
    for (half, row) in half.iter_mut().zip(pixels) {
        *half = transform::output_adjoint(simd, row);
    }
    for column in 0..P {
        let mut y = [simd.splat_f32s(0.0); M];
        for row in 0..M {
            y[row] = half[row][column];
        }
        let values: [S::f32s; P] = transform::output_adjoint(simd, y);
        for (row, value) in values.into_iter().enumerate() {
            let to = (row * P + column) * at.stride + tile * at.depth + channel;
            // SAFETY: as in `to_pixels`: the vector ends at `at.end(tile)` at the latest.
            unsafe { store::<S>(points.as_mut_ptr().add(to), value) };
        }
    }
}
