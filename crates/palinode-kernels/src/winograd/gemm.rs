//! The matrix products at the points of the transform domain, in register tiles.

use super::tile::Points;
use crate::register::{Factors, Lane, Matrix, PANEL, accumulate, load, store, tile_rows};
use pulp::{Simd, WithSimd};

/// Tiles are computed in blocks of this many: the most rows that a register tile has.
pub(super) const ROWS: usize = 8;

/// What products at the points need: a depth in sixteens, sides (of these lengths) with `rows` rows at every point,
/// and `matrices` elements for a matrix of `plane` at each.
///
/// # Panics
/// If anything is missing.
pub(super) fn check(
    Points { count, stride, channels, depth }: Points,
    rows: usize,
    sides: impl IntoIterator<Item = usize>,
    (matrices, plane): (usize, usize),
) {
    let end = (count - 1) * stride + rows * depth;
    assert!(channels <= depth && depth.is_multiple_of(16) && matrices >= count * plane);
    assert!(sides.into_iter().all(|len| len >= end));
}

/// At every point: out\[m\]\[n\] = Σ_k a\[m\]\[k\]·u\[k\]\[n\] for every (a, out), m a tile, k and n channels.
///
/// Several sides at a time read a point's matrix from the first-level cache but once.
pub(super) struct Multiply<'a, const N: usize> {
    pub at: Points,
    /// Tiles; up to 8 more are computed where there are not a multiple of 8.
    pub tiles: usize,
    pub sides: [(&'a [f32], &'a mut [f32]); N],
    /// A packed matrix per point.
    pub u: &'a [f32],
}

impl<const N: usize> WithSimd for Multiply<'_, N> {
    type Output = ();

    /// # Panics
    /// If the depth is no multiple of 16 or a slice is too short.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { at, tiles, sides, u } = self;
        let Points { count, stride, channels, depth } = at;
        let (rows, plane) = (tiles.next_multiple_of(ROWS), depth * depth);
        check(at, rows, sides.iter().map(|(a, out)| a.len().min(out.len())), (u.len(), plane));
        let sides = sides.map(|(a, out)| (a.as_ptr(), out.as_mut_ptr()));
        for point in 0..count {
            // SAFETY: as checked above.
            unsafe {
                let from = point * stride;
                let sides = sides.map(|(a, out)| (a.add(from), out.add(from)));
                let u = u.as_ptr().add(point * plane);
                let size = (channels, depth);
                multiply(simd, rows, size, sides, u);
            }
        }
    }
}

/// [`Multiply`] at one point, for channels that are there, and with padding. Channels of factors lie in
/// lanes side by side.
///
/// # Safety
/// `rows` is a multiple of 8, the depth one of 16; the pointers cover u and every a and out; the machine
/// has what products of them take.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, T: Lane, const N: usize>(
    simd: S,
    rows: usize,
    size: (usize, usize),
    sides: [(*const T, *mut f32); N],
    u: *const T,
) {
    // Widths of the report's networks with their loops' lengths known to the compiler.
    // SAFETY: the caller's.
    unsafe {
        match size.0 {
            16 => multiply_sized::<S, T, 16, N>(simd, rows, size, sides, u),
            32 => multiply_sized::<S, T, 32, N>(simd, rows, size, sides, u),
            56 => multiply_sized::<S, T, 56, N>(simd, rows, size, sides, u),
            64 => multiply_sized::<S, T, 64, N>(simd, rows, size, sides, u),
            _ => multiply_sized::<S, T, 0, N>(simd, rows, size, sides, u),
        }
    }
}

/// [`multiply`] for `CHANNELS` channels, or those of `size` where that is 0.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn multiply_sized<S: Simd, T: Lane, const CHANNELS: usize, const N: usize>(
    simd: S,
    rows: usize,
    size: (usize, usize),
    sides: [(*const T, *mut f32); N],
    u: *const T,
) {
    let (channels, depth) = extents::<CHANNELS>(size);
    let (terms, row_lanes) = (channels.div_ceil(T::TERMS), depth / T::TERMS);
    for start in (0..depth).step_by(PANEL) {
        let width = PANEL.min(depth - start);
        let vectors = width / S::F32_LANES;
        for vector in (0..vectors).step_by(2) {
            let column = vector * S::F32_LANES;
            // SAFETY: rows end at `rows`, columns at start + width ≤ depth.
            unsafe {
                let b = Matrix { at: u.add(start * row_lanes + column), row: width };
                let single = vectors - vector == 1;
                for (a, out) in sides {
                    let out = out.add(start + column);
                    for row in (0..rows).step_by(tile_rows::<S>()) {
                        let a = Factors { at: a.add(row * row_lanes), row: row_lanes, term: 1 };
                        let out = out.add(row * depth);
                        match (tile_rows::<S>(), single) {
                            (8, true) => block::<S, T, 8, 1>(simd, terms, a, b, out, depth),
                            (8, false) => block::<S, T, 8, 2>(simd, terms, a, b, out, depth),
                            (_, true) => block::<S, T, 4, 1>(simd, terms, a, b, out, depth),
                            (_, false) => block::<S, T, 4, 2>(simd, terms, a, b, out, depth),
                        }
                    }
                }
            }
        }
    }
}

/// Channels that are there, and with padding; known to the compiler where `CHANNELS` is not 0.
#[inline(always)]
fn extents<const CHANNELS: usize>((channels, depth): (usize, usize)) -> (usize, usize) {
    match CHANNELS {
        0 => (channels, depth),
        _ => (CHANNELS, CHANNELS.next_multiple_of(16)),
    }
}

/// One register tile of [`Multiply`].
///
/// # Safety
/// `a`, `b` and `out` cover `R` rows, `terms` lanes and `N` vectors; the machine has what products of
/// them take.
#[inline(always)]
unsafe fn block<S: Simd, T: Lane, const R: usize, const N: usize>(
    simd: S,
    terms: usize,
    a: Factors<T>,
    b: Matrix<T>,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); N]; R];
        accumulate(simd, terms, a, b, &mut sums);
        for (r, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                store::<S>(out.add(r * out_row + n * S::F32_LANES), sum);
            }
        }
    }
}

/// At every point: out\[i\]\[o\] += Σ_t a\[t\]\[i\]·b\[t\]\[o\] over pairs (a, b), t a tile, i and o channels.
pub(super) struct AddOuter<'a, const P: usize> {
    pub at: Points,
    pub tiles: usize,
    pub pairs: [(&'a [f32], &'a [f32]); P],
    /// A packed matrix per point.
    pub out: &'a mut [f32],
}

impl<const P: usize> WithSimd for AddOuter<'_, P> {
    type Output = ();

    /// # Panics
    /// If the depth is no multiple of 16 or a slice is too short.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { at, tiles, pairs, out } = self;
        let Points { count, stride, channels, depth } = at;
        let plane = depth * depth;
        check(at, tiles, pairs.iter().map(|(a, b)| a.len().min(b.len())), (out.len(), plane));
        for point in 0..count {
            // SAFETY: as checked above.
            unsafe {
                let from = point * stride;
                let pairs = pairs.map(|(a, b)| (a.as_ptr().add(from), b.as_ptr().add(from)));
                let out = out.as_mut_ptr().add(point * plane);
                let size = (channels, depth);
                add_outer(simd, tiles, size, pairs, out);
            }
        }
    }
}

/// [`AddOuter`] at one point, for channels that are there, and with padding. Tiles of factors lie in lanes
/// side by side: `terms` of them.
///
/// # Safety
/// The depth is a multiple of 16; the pointers cover the pairs' `terms` rows and out; the machine has what
/// products of them take.
#[inline(always)]
pub(super) unsafe fn add_outer<S: Simd, T: Lane, const P: usize>(
    simd: S,
    terms: usize,
    size: (usize, usize),
    pairs: [(*const T, *const T); P],
    out: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        match size.0 {
            16 => add_outer_sized::<S, T, 16, P>(simd, terms, size, pairs, out),
            32 => add_outer_sized::<S, T, 32, P>(simd, terms, size, pairs, out),
            56 => add_outer_sized::<S, T, 56, P>(simd, terms, size, pairs, out),
            64 => add_outer_sized::<S, T, 64, P>(simd, terms, size, pairs, out),
            _ => add_outer_sized::<S, T, 0, P>(simd, terms, size, pairs, out),
        }
    }
}

/// [`add_outer`] for `CHANNELS` channels, or those of `size` where that is 0.
///
/// # Safety
/// As [`add_outer`].
#[inline(always)]
unsafe fn add_outer_sized<S: Simd, T: Lane, const CHANNELS: usize, const P: usize>(
    simd: S,
    terms: usize,
    size: (usize, usize),
    pairs: [(*const T, *const T); P],
    out: *mut f32,
) {
    let (channels, depth) = extents::<CHANNELS>(size);
    for start in (0..depth).step_by(PANEL) {
        let width = PANEL.min(depth - start);
        let vectors = width / S::F32_LANES;
        for vector in (0..vectors).step_by(2) {
            let column = vector * S::F32_LANES;
            let single = vectors - vector == 1;
            for row in (0..channels).step_by(tile_rows::<S>()) {
                // SAFETY: rows end at `depth`, which is a multiple of a tile's rows, columns at start + width ≤ depth.
                unsafe {
                    let out = out.add(start * depth + row * width + column);
                    let pairs = pairs.map(|(a, b)| (a.add(row), b.add(start + column)));
                    let (terms, out) = ((terms, depth), (out, width));
                    match (tile_rows::<S>(), single) {
                        (8, true) => outer::<S, T, 8, 1, P>(simd, terms, pairs, out),
                        (8, false) => outer::<S, T, 8, 2, P>(simd, terms, pairs, out),
                        (_, true) => outer::<S, T, 4, 1, P>(simd, terms, pairs, out),
                        (_, false) => outer::<S, T, 4, 2, P>(simd, terms, pairs, out),
                    }
                }
            }
        }
    }
}

/// One register tile of [`AddOuter`]: of terms `depth` apart, out's rows `out_row`.
///
/// # Safety
/// All cover `R` rows, `terms` lanes and `N` vectors; the machine has what products of them take.
#[inline(always)]
unsafe fn outer<S: Simd, T: Lane, const R: usize, const N: usize, const P: usize>(
    simd: S,
    (terms, depth): (usize, usize),
    pairs: [(*const T, *const T); P],
    (out, out_row): (*mut f32, usize),
) {
    // SAFETY: the caller's.
    unsafe {
        // From zero and not from what is there: short sums lose less.
        let mut sums = [[simd.splat_f32s(0.0); N]; R];
        for (a, b) in pairs {
            // (Strides in an array beside the pointers would not be constants to the compiler.)
            let a = Factors { at: a, row: 1, term: depth };
            accumulate(simd, terms, a, Matrix { at: b, row: depth }, &mut sums);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let out = out.add(r * out_row + n * S::F32_LANES);
                store::<S>(out, simd.add_f32s(load::<S>(out), sum));
            }
        }
    }
}
