//! The matrix products at the points of the transform domain, in register tiles.

use super::tile::Points;
use crate::register::{Factors, Lane, Matrix, PANEL, accumulate, load, store, tile_rows};
use pulp::{Simd, WithSimd};

/// Tiles are computed in groups of this many: the most rows that a register tile has.
pub(super) const ROWS: usize = 8;

/// Factors at the points of a strip, and where their product with a kernel's matrices goes.
pub(super) type Side<'a> = (&'a [f32], &'a mut [f32]);

/// Checks what products at the points need: a depth that is a multiple of 16, sides (given by their
/// lengths) that cover `rows` rows at every point, and `matrices` elements that cover a matrix of `plane`
/// elements at every point.
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

/// At every point: out\[m\]\[n\] = Σ_k a\[m\]\[k\]·u\[k\]\[n\] for every side (a, out); m is a tile, k and n
/// are channels.
///
/// With two sides, the second reads a point's matrix from the first-level cache.
pub(super) struct Multiply<'a, const N: usize> {
    pub at: Points,
    /// Tiles. If they are not a multiple of [`ROWS`], tiles behind them are computed too, up to the next.
    pub tiles: usize,
    pub sides: [Side<'a>; N],
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
            // SAFETY: `rows` is a multiple of 8; as checked above, the depth is one of 16, every a and out
            // covers `rows` rows of `depth` floats from point·stride on, and u a matrix at every point.
            unsafe {
                let from = point * stride;
                let sides = sides.map(|(a, out)| (a.add(from), out.add(from)));
                let u = u.as_ptr().add(point * plane);
                multiply::<S, f32, N>(simd, (), rows, (channels, depth), sides, u);
            }
        }
    }
}

/// [`Multiply`] at one point. `size` is the number of channels, without and with padding. A lane of the
/// factors holds neighbouring channels.
///
/// # Safety
/// `rows` is a multiple of 8 and the depth one of 16. Every a is valid for reads of `rows` rows of `depth`
/// terms, every out for writes of as many floats, and u for reads of a packed matrix of `depth` terms and
/// columns.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, T: Lane, const N: usize>(
    simd: S,
    proof: T::Proof,
    rows: usize,
    size: (usize, usize),
    sides: [(*const T, *mut f32); N],
    u: *const T,
) {
    // For the widths of the report's networks the compiler knows the lengths of the loops.
    // SAFETY: the contract is the same, and where `CHANNELS` is not 0 it is the number of channels.
    unsafe {
        match size.0 {
            16 => multiply_sized::<S, T, 16, N>(simd, proof, rows, size, sides, u),
            32 => multiply_sized::<S, T, 32, N>(simd, proof, rows, size, sides, u),
            56 => multiply_sized::<S, T, 56, N>(simd, proof, rows, size, sides, u),
            64 => multiply_sized::<S, T, 64, N>(simd, proof, rows, size, sides, u),
            _ => multiply_sized::<S, T, 0, N>(simd, proof, rows, size, sides, u),
        }
    }
}

/// [`multiply`] for `CHANNELS` channels, or for those of `size` if that is 0.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn multiply_sized<S: Simd, T: Lane, const CHANNELS: usize, const N: usize>(
    simd: S,
    proof: T::Proof,
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
            // SAFETY: register tiles have 4 or 8 rows, a divisor of 8, so the last one ends at `rows`. Their
            // columns end at start + width ≤ depth, for there is only one vector where one is left. Terms
            // end at channels ≤ depth, rounded up to whole lanes. The caller vouches for all of it.
            unsafe {
                let b = Matrix { at: u.add(start * row_lanes + column), row: width };
                let single = vectors - vector == 1;
                for (a, out) in sides {
                    let out = out.add(start + column);
                    for row in (0..rows).step_by(tile_rows::<S>()) {
                        let a = Factors { at: a.add(row * row_lanes), row: row_lanes, term: 1 };
                        let out = out.add(row * depth);
                        match (tile_rows::<S>(), single) {
                            (8, true) => {
                                block::<S, T, 8, 1>(simd, proof, terms, a, b, (out, depth))
                            }
                            (8, false) => {
                                block::<S, T, 8, 2>(simd, proof, terms, a, b, (out, depth))
                            }
                            (_, true) => {
                                block::<S, T, 4, 1>(simd, proof, terms, a, b, (out, depth))
                            }
                            (_, false) => {
                                block::<S, T, 4, 2>(simd, proof, terms, a, b, (out, depth))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The number of channels, without and with padding; known to the compiler if `CHANNELS` is not 0.
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
/// `a` is valid for reads of `R` rows of `terms` lanes, `b` for reads of `terms` rows of `N` vectors, and
/// `out` for writes of `N` vectors in `R` rows, `out_row` floats apart.
#[inline(always)]
unsafe fn block<S: Simd, T: Lane, const R: usize, const N: usize>(
    simd: S,
    proof: T::Proof,
    terms: usize,
    a: Factors<T>,
    b: Matrix<T>,
    (out, out_row): (*mut f32, usize),
) {
    // SAFETY: the caller vouches for the factors, and for vectors n < N of rows r < R of `out`.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); N]; R];
        accumulate(simd, proof, terms, a, b, &mut sums);
        for (r, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                store::<S>(out.add(r * out_row + n * S::F32_LANES), sum);
            }
        }
    }
}

/// At every point: out\[i\]\[o\] += Σ_t a\[t\]\[i\]·b\[t\]\[o\], summed over pairs (a, b); t is a tile, i and o
/// are channels.
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
            // SAFETY: as checked above, the depth is a multiple of 16, every a and b covers `tiles` rows of
            // `depth` floats from point·stride on, and out a matrix at every point.
            unsafe {
                let from = point * stride;
                let pairs = pairs.map(|(a, b)| (a.as_ptr().add(from), b.as_ptr().add(from)));
                let out = out.as_mut_ptr().add(point * plane);
                add_outer::<S, f32, P>(simd, (), tiles, (channels, depth), pairs, out);
            }
        }
    }
}

/// [`AddOuter`] at one point. `size` is the number of channels, without and with padding. A lane of the
/// factors holds neighbouring tiles; there are `terms` lanes.
///
/// # Safety
/// The depth is a multiple of 16. Every a and b is valid for reads of `terms` rows of `depth` lanes, and out
/// for reads and writes of a packed matrix of `depth` terms and columns.
#[inline(always)]
pub(super) unsafe fn add_outer<S: Simd, T: Lane, const P: usize>(
    simd: S,
    proof: T::Proof,
    terms: usize,
    size: (usize, usize),
    pairs: [(*const T, *const T); P],
    out: *mut f32,
) {
    // SAFETY: the contract is the same, and where `CHANNELS` is not 0 it is the number of channels.
    unsafe {
        match size.0 {
            16 => add_outer_sized::<S, T, 16, P>(simd, proof, terms, size, pairs, out),
            32 => add_outer_sized::<S, T, 32, P>(simd, proof, terms, size, pairs, out),
            56 => add_outer_sized::<S, T, 56, P>(simd, proof, terms, size, pairs, out),
            64 => add_outer_sized::<S, T, 64, P>(simd, proof, terms, size, pairs, out),
            _ => add_outer_sized::<S, T, 0, P>(simd, proof, terms, size, pairs, out),
        }
    }
}

/// [`add_outer`] for `CHANNELS` channels, or for those of `size` if that is 0.
///
/// # Safety
/// As [`add_outer`].
#[inline(always)]
unsafe fn add_outer_sized<S: Simd, T: Lane, const CHANNELS: usize, const P: usize>(
    simd: S,
    proof: T::Proof,
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
                // SAFETY: register tiles have 4 or 8 rows, a divisor of the depth, so the last one ends at
                // the depth. Their columns end at start + width ≤ depth, for there is only one vector where
                // one is left. The caller vouches for the depth of every term and for all of out.
                unsafe {
                    let out = out.add(start * depth + row * width + column);
                    let pairs = pairs.map(|(a, b)| (a.add(row), b.add(start + column)));
                    let (terms, out) = ((terms, depth), (out, width));
                    match (tile_rows::<S>(), single) {
                        (8, true) => outer::<S, T, 8, 1, P>(simd, proof, terms, pairs, out),
                        (8, false) => outer::<S, T, 8, 2, P>(simd, proof, terms, pairs, out),
                        (_, true) => outer::<S, T, 4, 1, P>(simd, proof, terms, pairs, out),
                        (_, false) => outer::<S, T, 4, 2, P>(simd, proof, terms, pairs, out),
                    }
                }
            }
        }
    }
}

/// One register tile of [`AddOuter`]. The terms of the factors are `depth` lanes apart, the rows of out
/// `out_row` floats.
///
/// # Safety
/// In each of `terms` terms, every a is valid for reads of `R` lanes and every b for reads of `N` vectors.
/// `out` is valid for reads and writes of `N` vectors in `R` rows.
#[inline(always)]
unsafe fn outer<S: Simd, T: Lane, const R: usize, const N: usize, const P: usize>(
    simd: S,
    proof: T::Proof,
    (terms, depth): (usize, usize),
    pairs: [(*const T, *const T); P],
    (out, out_row): (*mut f32, usize),
) {
    // SAFETY: the caller vouches for the factors, and for vectors n < N of rows r < R of `out`.
    unsafe {
        // The sums begin with zero and not with what `out` holds: short sums lose less.
        let mut sums = [[simd.splat_f32s(0.0); N]; R];
        for (a, b) in pairs {
            // (In an array beside the pointers the strides would not be constants to the compiler.)
            let a = Factors { at: a, row: 1, term: depth };
            let b = Matrix { at: b, row: depth };
            accumulate(simd, proof, terms, a, b, &mut sums);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let out = out.add(r * out_row + n * S::F32_LANES);
                store::<S>(out, simd.add_f32s(load::<S>(out), sum));
            }
        }
    }
}
