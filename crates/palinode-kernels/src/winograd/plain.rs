//! A 3×3 convolution alone, with as many outputs as inputs: y = Kx + b, and the gradients with respect to K
//! and b. (The gradient with respect to x is Kᵀ of the gradient with respect to y, again such a convolution.)

use super::gemm::{AddOuter, Multiply};
use super::strip::{Gather, Workspace, clear_outside};
use super::tile::{Points, to_pixels, to_points};
use super::weights::{KernelGradient, Weights};
use crate::evaluation::Purpose;
use crate::geometry::Geometry;
use crate::register::{first, set_first};
use crate::scratch::Arena;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// One thread's memory for it.
pub(crate) struct Plain<'m> {
    geometry: Geometry,
    workspace: Workspace<'m>,
}

impl<'m> Plain<'m> {
    /// For values, or for gradients too. The tiles of the geometry have 4 or 2 rows.
    pub fn new(arena: &mut Arena<'m>, geometry: Geometry, gradients: bool) -> Self {
        let purpose = if gradients { Purpose::Gradients(None) } else { Purpose::Values };
        Self { geometry, workspace: Workspace::new(arena, &geometry, purpose) }
    }
}

/// Sets `y` to Kx + b; padded images.
pub(crate) struct PlainValue<'a, 'm, 'w> {
    pub plain: &'a mut Plain<'m>,
    pub weights: &'a Weights<'w>,
    pub images: usize,
    pub x: &'a [f32],
    pub y: &'a mut [f32],
}

impl WithSimd for PlainValue<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.plain.geometry.tile {
            4 => self.run::<S, 4, 6>(simd),
            _ => self.run::<S, 2, 4>(simd),
        }
    }
}

impl PlainValue<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize, const P: usize>(self, simd: S) {
        let Self { plain: Plain { geometry, workspace: w }, weights, images, x, y } = self;
        let at = w.points;
        for rows in w.strips(geometry, images) {
            let tiles = rows.len() * geometry.tile_columns;
            simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points: w.x, at });
            let (sides, u) = ([(&*w.x, &mut *w.hidden)], &*weights.forward);
            simd.vectorize(Multiply { at, tiles, sides, u });
            let (points, bias, y) = (&*w.hidden, &*weights.bias, &mut *y);
            simd.vectorize(ToImages::<M, P> { geometry, rows, points, at, bias, y });
        }
    }
}

/// Aᵀ·points·A + b of some rows of tiles.
struct ToImages<'a, const M: usize, const P: usize> {
    geometry: &'a Geometry,
    rows: Range<usize>,
    points: &'a [f32],
    at: Points,
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl<const M: usize, const P: usize> WithSimd for ToImages<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, rows, points, at, bias, y } = self;
        let columns = geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let (height, width) = geometry.inside(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let corner = geometry.first_pixel(tile) + channel;
                let bias = &bias[channel..channel + S::F32_LANES];
                let pixels = to_pixels::<S, M, P>(simd, points, at, index, channel);
                for (row, pixels) in pixels.iter().enumerate().take(height) {
                    for (column, &pixel) in pixels.iter().enumerate().take(width) {
                        let from = corner + row * geometry.row_stride() + column * geometry.depth;
                        let into = &mut y[from..from + S::F32_LANES];
                        set_first::<S>(into, simd.add_f32s(pixel, first::<S>(bias)));
                    }
                }
            }
        }
    }
}

/// Sets the gradients with respect to K and b, without padding, from x and the gradient with respect to y,
/// padded images.
pub(crate) struct PlainGradient<'a, 'm> {
    pub plain: &'a mut Plain<'m>,
    pub images: usize,
    pub x: &'a [f32],
    pub y: &'a [f32],
    /// `[c, c, 3, 3]`.
    pub kernel: &'a mut [f32],
    /// `[c]`.
    pub bias: &'a mut [f32],
}

impl WithSimd for PlainGradient<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.plain.geometry.tile {
            4 => self.run::<S, 4, 6>(simd),
            _ => self.run::<S, 2, 4>(simd),
        }
    }
}

impl PlainGradient<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const M: usize, const P: usize>(self, simd: S) {
        let Self { plain: Plain { geometry, workspace: w, .. }, images, x, y, kernel, bias } = self;
        let at = w.points;
        w.clear_sums();
        for rows in w.strips(geometry, images) {
            let tiles = rows.len() * geometry.tile_columns;
            simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points: w.x, at });
            let (points, sums) = (&mut *w.delta, &mut *w.bias);
            simd.vectorize(ToPoints::<M, P> { geometry, rows, y, points, at, sums });
            let pairs = [(&*w.x, &*w.delta)];
            simd.vectorize(AddOuter { at, tiles, pairs, out: w.kernel_points });
            w.finish_strip();
        }
        let points = &*w.kernel_points;
        simd.vectorize(KernelGradient::<P> { geometry, points, scale: 1.0, gradient: kernel });
        w.vector_gradients(1.0, bias, &mut []);
    }
}

/// A·y·Aᵀ of some rows of tiles; y's sums per channel are added to `sums`.
struct ToPoints<'a, const M: usize, const P: usize> {
    geometry: &'a Geometry,
    rows: Range<usize>,
    y: &'a [f32],
    points: &'a mut [f32],
    at: Points,
    sums: &'a mut [f32],
}

impl<const M: usize, const P: usize> WithSimd for ToPoints<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, rows, y, points, at, sums } = self;
        let columns = geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let inside = geometry.inside(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let corner = geometry.first_pixel(tile) + channel;
                let sums = &mut sums[channel..channel + S::F32_LANES];
                let mut pixels = [[simd.splat_f32s(0.0); M]; M];
                for (row, pixels) in pixels.iter_mut().enumerate() {
                    for (column, pixel) in pixels.iter_mut().enumerate() {
                        let from = corner + row * geometry.row_stride() + column * geometry.depth;
                        *pixel = first::<S>(&y[from..from + S::F32_LANES]);
                    }
                }
                if inside != (M, M) {
                    clear_outside(simd, &mut pixels, inside);
                }
                let mut sum = first::<S>(sums);
                for &pixel in pixels.iter().flatten() {
                    sum = simd.add_f32s(sum, pixel);
                }
                set_first::<S>(sums, sum);
                to_points::<S, M, P>(simd, pixels, points, at, index, channel);
            }
        }
    }
}
