//! Strips of tiles: their memory, and their transform.

use super::gemm::ROWS;
use super::products::Products;
use super::rows::reached_len;
use super::tile::{Points, gather};
use crate::evaluation::Purpose;
use crate::geometry::Geometry;
use crate::register::PANEL;
use crate::scratch::Arena;
use crate::token::Bf16;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// About how many tiles a strip has: few enough for the second-level cache, and as many as pay for loading
/// the weights. (Smaller tiles have fewer points. On AMX the products for gradients take so little time
/// that loading the weights of a wide layer takes longer.)
fn strip_tiles(geometry: &Geometry, purpose: Purpose) -> usize {
    let loads_dominate = purpose.bf16().is_some_and(Bf16::has_tiles) && geometry.depth > PANEL;
    if geometry.tile < 4 || loads_dominate { 32 } else { 16 }
}

/// One thread's memory for one residual, used again for every strip.
pub(crate) struct Workspace<'m> {
    /// Rows of tiles of a strip.
    pub(super) tile_rows: usize,
    /// From point to point there is one vector more than a strip needs: a power of two would put all points
    /// into the same sets of the cache.
    pub(super) points: Points,
    /// BᵀxB, then the points of F in its place.
    pub(super) x: &'m mut [f32],
    /// UᵀV of x, then A·σ·Aᵀ in its place.
    pub(super) hidden: &'m mut [f32],
    /// BᵀvB of the cotangent v, then the points of Jᵀv in its place.
    pub(super) cotangent: &'m mut [f32],
    /// UᵀV of the cotangent, then AδAᵀ in its place.
    pub(super) delta: &'m mut [f32],
    /// How the products of a vector–Jacobian product are taken.
    pub(super) products: Products<'m>,
    /// Where patches of F are added up.
    pub(super) value_rows: &'m mut [f32],
    /// Where patches of Jᵀv are added up.
    pub(super) gradient_rows: &'m mut [f32],
    /// Σ over strips of the kernel's gradient in the transform domain.
    pub(super) kernel_points: &'m mut [f32],
    /// Σ of δ per channel, of the strip at hand.
    pub(super) bias: &'m mut [f32],
    /// Σ of Jᵀv per channel, of the strip at hand.
    pub(super) input_bias: &'m mut [f32],
    /// Both sums over all strips; in f64, since they may cancel.
    totals: [&'m mut [f64]; 2],
}

impl<'m> Workspace<'m> {
    pub fn new(arena: &mut Arena<'m>, geometry: &Geometry, purpose: Purpose) -> Self {
        let tile_rows = (strip_tiles(geometry, purpose) / geometry.tile_columns.max(1)).max(1);
        let tiles = (tile_rows * geometry.tile_columns).next_multiple_of(ROWS);
        let Geometry { channels, depth, .. } = *geometry;
        let (count, stride) = (geometry.points(), tiles * depth + 16);
        let points = Points { count, stride, channels, depth };
        let gradients = if purpose.has_gradients() { 1 } else { 0 };
        Self {
            tile_rows,
            points,
            x: arena.zeros(count * stride),
            hidden: arena.zeros(count * stride),
            cotangent: arena.zeros(gradients * count * stride),
            delta: arena.zeros(gradients * count * stride),
            products: Products::new(arena, purpose.bf16(), points),
            value_rows: arena.zeros(reached_len(geometry)),
            gradient_rows: arena.zeros(gradients * reached_len(geometry)),
            kernel_points: arena.zeros(gradients * count * depth * depth),
            bias: arena.zeros(gradients * depth),
            input_bias: arena.zeros(gradients * depth),
            totals: [arena.zeros(gradients * depth), arena.zeros(gradients * depth)],
        }
    }

    /// Sets the sums of gradients to zero.
    pub fn clear_sums(&mut self) {
        self.kernel_points.fill(0.0);
        self.bias.fill(0.0);
        self.input_bias.fill(0.0);
        self.totals.iter_mut().for_each(|totals| totals.fill(0.0));
    }

    /// Adds a strip's sums per channel to the totals.
    pub fn finish_strip(&mut self) {
        let [bias, input_bias] = &mut self.totals;
        for (totals, strip) in [(bias, &mut *self.bias), (input_bias, &mut *self.input_bias)] {
            for (total, sum) in totals.iter_mut().zip(strip.iter_mut()) {
                *total += f64::from(std::mem::take(sum));
            }
        }
    }

    /// Sets the two slices to the totals times `scale`, as far as they go.
    pub fn vector_gradients(&self, scale: f32, bias: &mut [f32], input_bias: &mut [f32]) {
        for (into, totals) in [bias, input_bias].into_iter().zip(&self.totals) {
            for (into, total) in into.iter_mut().zip(&**totals) {
                *into = (f64::from(scale) * total) as f32;
            }
        }
    }

    /// Ranges of rows of tiles, counted over `images` images.
    pub fn strips(
        &self,
        geometry: &Geometry,
        images: usize,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, length) = (images * geometry.tile_rows, self.tile_rows);
        (0..rows).step_by(length).map(move |start| start..(start + length).min(rows))
    }
}

/// Sets all but the first (rows, columns) pixels to zero.
#[inline(always)]
pub(super) fn clear_outside<S: Simd, const M: usize>(
    simd: S,
    pixels: &mut [[S::f32s; M]; M],
    (rows, columns): (usize, usize),
) {
    for (row, pixels) in pixels.iter_mut().enumerate() {
        for (column, pixel) in pixels.iter_mut().enumerate() {
            if row >= rows || column >= columns {
                *pixel = simd.splat_f32s(0.0);
            }
        }
    }
}

/// BᵀdB of every tile of some rows of tiles.
pub(super) struct Gather<'a, const M: usize, const P: usize> {
    pub geometry: &'a Geometry,
    pub rows: Range<usize>,
    pub x: &'a [f32],
    pub points: &'a mut [f32],
    pub at: Points,
}

impl<const M: usize, const P: usize> WithSimd for Gather<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, rows, x, points, at } = self;
        let columns = geometry.tile_columns;
        for (index, tile_row) in rows.enumerate() {
            let patch = geometry.patch(tile_row * columns);
            let tiles = (index * columns, columns);
            gather::<S, M, P>(simd, &x[patch..], geometry.row_stride(), points, at, tiles);
        }
    }
}
