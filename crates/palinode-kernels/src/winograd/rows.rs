//! Overlapping patches added up a row of tiles at a time, and what becomes of the finished pixels.

use super::Geometry;
use super::tile::{Points, scatter};
use crate::aligned::Aligned;
use crate::register::{load, store};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// What a value f of the residual does to the state at the same pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Update {
    /// state ← state + s·f.
    Add(f32),
    /// state ← x + ((x − state) + s·f), x being where the residual was evaluated.
    Extrapolate(f32),
}

impl Update {
    /// Updates one vector of numbers.
    #[inline(always)]
    pub fn one<S: Simd>(self, simd: S, value: S::f32s, x: &[f32], state: &mut [f32]) {
        assert!(x.len().min(state.len()) >= S::F32_LANES);
        // SAFETY: both are a vector long.
        unsafe {
            let (x, old) = (load::<S>(x.as_ptr()), load::<S>(state.as_ptr()));
            store::<S>(state.as_mut_ptr(), self.of(simd, value, x, old));
        }
    }

    #[inline(always)]
    fn of<S: Simd>(self, simd: S, f: S::f32s, x: S::f32s, state: S::f32s) -> S::f32s {
        match self {
            Self::Add(scale) => simd.mul_add_e_f32s(simd.splat_f32s(scale), f, state),
            Self::Extrapolate(scale) => {
                let difference = simd.sub_f32s(x, state);
                let moved = simd.mul_add_e_f32s(simd.splat_f32s(scale), f, difference);
                simd.add_f32s(x, moved)
            }
        }
    }

    /// Updates as many numbers as `values` has.
    #[inline(always)]
    pub fn apply<S: Simd>(self, simd: S, values: &[f32], x: &[f32], state: &mut [f32]) {
        let (values, x) = (S::as_simd_f32s(values).0, S::as_simd_f32s(x).0);
        let state = S::as_mut_simd_f32s(state).0;
        // (Two loops: the first does not read x.)
        match self {
            Self::Add(_) => {
                for (state, &f) in state.iter_mut().zip(values) {
                    *state = self.of(simd, f, f, *state);
                }
            }
            Self::Extrapolate(_) => {
                for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
                    *state = self.of(simd, f, x, *state);
                }
            }
        }
    }
}

/// Six rows of an image: those that the row of tiles at hand reaches.
pub(super) struct RowSum {
    rows: Aligned,
}

impl RowSum {
    pub fn new(geometry: &Geometry) -> Self {
        Self { rows: Aligned::zeros(6 * geometry.row_stride()) }
    }
}

/// Adds up B·points·Bᵀ of some rows of tiles and updates a state where pixels are complete.
pub(super) struct AddUp<'a> {
    pub geometry: &'a Geometry,
    /// Rows of tiles, counted over the images of a chunk; to be given in their order.
    pub rows: Range<usize>,
    pub points: &'a [f32],
    pub at: Points,
    pub sum: &'a mut RowSum,
    pub update: Update,
    /// Where the residual was evaluated, padded images.
    pub x: &'a [f32],
    /// What is updated, padded images.
    pub state: &'a mut [f32],
    /// Sums of the values per channel, added to; empty where nobody wants them.
    pub totals: &'a mut [f32],
}

impl WithSimd for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, rows, points, at, sum, update, x, state, totals } = self;
        let sum = &mut sum.rows;
        let (row, depth) = (geometry.row_stride(), geometry.depth);
        let mut tile = 0;
        for tile_row in rows {
            let within = tile_row % geometry.tile_rows;
            if within == 0 {
                sum[..2 * row].fill(0.0);
            }
            scatter(simd, points, at, (tile, geometry.tile_columns), sum, row);
            tile += geometry.tile_columns;
            let last = within + 1 == geometry.tile_rows;
            let image = tile_row / geometry.tile_rows * geometry.image_len();
            // Row k of the six is row 4·within + k of the padded image, whose first is a border.
            for k in 0..if last { 6 } else { 4 } {
                let padded = 4 * within + k;
                if !(1..=geometry.height).contains(&padded) {
                    continue;
                }
                let inside = depth..(geometry.width + 1) * depth;
                let values = &sum[k * row..][inside.clone()];
                let at = image + padded * row;
                let x = &x[at..][inside.clone()];
                update.apply(simd, values, x, &mut state[at..][inside]);
                if !totals.is_empty() {
                    for pixel in values.chunks_exact(depth) {
                        totals.iter_mut().zip(pixel).for_each(|(total, value)| *total += value);
                    }
                }
            }
            let (finished, carried) = sum.split_at_mut(4 * row);
            finished[..2 * row].copy_from_slice(carried);
        }
    }
}
