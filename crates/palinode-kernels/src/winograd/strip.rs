//! Strips of tiles: their memory, and their way into the transform domain.

use super::gemm::ROWS;
use super::products::Products;
use super::rows::RowSum;
use super::tile::{Points, gather};
use crate::aligned::Aligned;
use crate::evaluation::Purpose;
use crate::geometry::Geometry;
use crate::register::PANEL;
use crate::token::Bf16;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Tiles that are worked on at a time, about: few enough for the second-level cache, and as many as the
/// products' loads of the weights are worth. (Smaller tiles have fewer points each; where gradients' products
/// are soon done, the weights of a wide layer are the longer wait.)
fn strip_tiles(geometry: &Geometry, purpose: Purpose) -> usize {
    let soon_done = purpose.bf16().is_some_and(Bf16::has_tiles);
    if geometry.tile < 4 || soon_done && geometry.depth > PANEL { 32 } else { 16 }
}

/// Memory of one thread for one residual, used again for every strip.
pub(crate) struct Workspace {
    /// Rows of tiles of a strip.
    pub(super) tile_rows: usize,
    /// One vector more from point to point than a strip needs: a power of two would put all points
    /// into the same sets of the cache.
    pub(super) points: Points,
    /// BᵀxB, then the points of F in its place.
    pub(super) x: Aligned,
    /// UᵀV of x, then A·σ·Aᵀ in its place.
    pub(super) hidden: Aligned,
    /// BᵀgB of the cotangent, then the points of Jᵀv in its place.
    pub(super) cotangent: Aligned,
    /// UᵀV of the cotangent, then AδAᵀ in its place.
    pub(super) delta: Aligned,
    /// What takes the products of a pull-back.
    pub(super) products: Products,
    /// Where patches of F are added up.
    pub(super) value: RowSum,
    /// Where patches of Jᵀv are added up.
    pub(super) pulled: RowSum,
    /// Σ over strips of the kernel's gradient in the transform domain.
    pub(super) kernel_points: Aligned,
    /// Σ of δ per channel, of the strip at hand.
    pub(super) bias: Aligned,
    /// Σ of Jᵀv per channel, of the strip at hand.
    pub(super) input_bias: Aligned,
    /// Both sums over all strips; in f64, since they may cancel.
    totals: [Vec<f64>; 2],
}

impl Workspace {
    pub fn new(geometry: &Geometry, purpose: Purpose) -> Self {
        let tile_rows = (strip_tiles(geometry, purpose) / geometry.tile_columns.max(1)).max(1);
        let tiles = (tile_rows * geometry.tile_columns).next_multiple_of(ROWS);
        let Geometry { channels, depth, .. } = *geometry;
        let (count, stride) = (geometry.points(), tiles * depth + 16);
        let points = Points { count, stride, channels, depth };
        let wanted = purpose.has_gradients();
        let for_gradients = |len: usize| Aligned::zeros(if wanted { len } else { 0 });
        Self {
            tile_rows,
            points,
            x: Aligned::zeros(count * stride),
            hidden: Aligned::zeros(count * stride),
            cotangent: for_gradients(count * stride),
            delta: for_gradients(count * stride),
            products: Products::new(purpose.bf16(), points),
            value: RowSum::new(geometry),
            pulled: RowSum::new(geometry),
            kernel_points: for_gradients(count * depth * depth),
            bias: for_gradients(depth),
            input_bias: for_gradients(depth),
            totals: [(); 2].map(|()| vec![0.0; if wanted { depth } else { 0 }]),
        }
    }

    /// Zeros where gradients are summed.
    pub fn clear_sums(&mut self) {
        self.kernel_points.fill(0.0);
        self.bias.fill(0.0);
        self.input_bias.fill(0.0);
        self.totals.iter_mut().for_each(|totals| totals.fill(0.0));
    }

    /// Adds a strip's sums per channel to the totals.
    pub fn finish_strip(&mut self) {
        let [bias, input_bias] = &mut self.totals;
        for (totals, strip) in [(bias, &mut self.bias), (input_bias, &mut self.input_bias)] {
            for (total, sum) in totals.iter_mut().zip(strip.iter_mut()) {
                *total += f64::from(std::mem::take(sum));
            }
        }
    }

    /// The totals times `scale`, as far as the two slices go.
    pub fn vector_gradients(&self, scale: f32, bias: &mut [f32], input_bias: &mut [f32]) {
        for (into, totals) in [bias, input_bias].into_iter().zip(&self.totals) {
            for (into, total) in into.iter_mut().zip(totals) {
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

/// Zeros outside the first (rows, columns) pixels.
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
