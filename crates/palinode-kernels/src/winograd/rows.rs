//! Overlapping patches, added up one row of tiles at a time, and what the finished pixels do to a state.

use super::tile::{Points, scatter};
use crate::evaluation::Advance;
use crate::geometry::Geometry;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Floats of the rows of an image that a row of tiles reaches.
pub(super) fn reached_len(geometry: &Geometry) -> usize {
    (geometry.tile + 2) * geometry.row_stride()
}

/// Adds up B·points·Bᵀ of some rows of tiles and increments a state by the pixels that are complete.
pub(super) struct AddUp<'a, const M: usize, const P: usize> {
    pub geometry: &'a Geometry,
    /// Rows of tiles, counted over the images of a chunk. Calls must go through them in their order.
    pub rows: Range<usize>,
    pub points: &'a [f32],
    pub at: Points,
    /// The rows of the image that the row of tiles at hand [reaches](reached_len).
    pub sum: &'a mut [f32],
    pub advance: Advance<'a>,
    /// The sums of the values per channel are added to it; empty if they are not needed.
    pub totals: &'a mut [f32],
}

impl<const M: usize, const P: usize> WithSimd for AddUp<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, rows, points, at, sum, advance, totals } = self;
        let Advance { increment, x, state } = advance;
        let (row, depth) = (geometry.row_stride(), geometry.depth);
        let mut tile = 0;
        for tile_row in rows {
            let within = tile_row % geometry.tile_rows;
            if within == 0 {
                sum[..2 * row].fill(0.0);
            }
            scatter::<S, M, P>(simd, points, at, (tile, geometry.tile_columns), sum, row);
            tile += geometry.tile_columns;
            let last = within + 1 == geometry.tile_rows;
            let image = tile_row / geometry.tile_rows * geometry.image_len();
            // Row k of the sum is row m·within + k of the padded image, whose row 0 is a border.
            for k in 0..if last { P } else { M } {
                let padded = M * within + k;
                if !(1..=geometry.height).contains(&padded) {
                    continue;
                }
                let inside = depth..depth + geometry.row_len();
                let values = &sum[k * row..][inside.clone()];
                let at = image + padded * row;
                let x = &x[at..][inside.clone()];
                increment.apply(simd, values, x, &mut state[at..][inside]);
                if !totals.is_empty() {
                    for pixel in values.chunks_exact(depth) {
                        totals.iter_mut().zip(pixel).for_each(|(total, value)| *total += value);
                    }
                }
            }
            let (finished, carried) = sum.split_at_mut(M * row);
            finished[..2 * row].copy_from_slice(carried);
        }
    }
}
