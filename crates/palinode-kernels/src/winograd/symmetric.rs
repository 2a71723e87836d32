//! F(x) = Kᵀσ(Kx + b) and its vector–Jacobian product on a chunk of padded images.

use super::gemm::{AddOuter, Multiply, ROWS};
use super::rows::{AddUp, RowSum, Update};
use super::tile::{Points, gather, to_pixels, to_points};
use super::weights::KernelGradient;
use super::{Geometry, POINTS, Weights};
use crate::aligned::Aligned;
use crate::register::{load, store};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Tiles that are worked on at a time, about. (From 8 to 64 the time is the same within 3 %; fewer
/// take less memory.)
const STRIP_TILES: usize = 16;

/// Memory of one thread for one residual, used again for every strip.
pub(crate) struct Workspace {
    /// Rows of tiles of a strip.
    tile_rows: usize,
    /// One vector more from point to point than a strip needs: a power of two would put all points
    /// into the same sets of the cache.
    points: Points,
    /// BᵀxB.
    x: Aligned,
    /// UᵀV of x, then A·σ·Aᵀ in its place.
    hidden: Aligned,
    /// BᵀgB of the cotangent.
    cotangent: Aligned,
    /// UᵀV of the cotangent, then AδAᵀ in its place.
    delta: Aligned,
    /// A product on its way back to pixels.
    back: Aligned,
    /// Where patches of F are added up.
    value: RowSum,
    /// Where patches of Jᵀv are added up.
    pulled: RowSum,
    /// Σ over strips of the kernel's gradient in the transform domain.
    kernel_points: Aligned,
    /// Σ of δ per channel.
    bias: Aligned,
}

impl Workspace {
    /// For values alone, or for gradients too.
    pub fn new(geometry: &Geometry, gradients: bool) -> Self {
        let tile_rows = (STRIP_TILES / geometry.tile_columns.max(1)).max(1);
        let tiles = (tile_rows * geometry.tile_columns).next_multiple_of(ROWS);
        let depth = geometry.depth;
        let stride = tiles * depth + 16;
        let for_gradients = |len: usize| Aligned::zeros(if gradients { len } else { 0 });
        Self {
            tile_rows,
            points: Points { stride, depth },
            x: Aligned::zeros(POINTS * stride),
            hidden: Aligned::zeros(POINTS * stride),
            cotangent: for_gradients(POINTS * stride),
            delta: for_gradients(POINTS * stride),
            back: for_gradients(POINTS * stride),
            value: RowSum::new(geometry),
            pulled: RowSum::new(geometry),
            kernel_points: for_gradients(POINTS * depth * depth),
            bias: for_gradients(depth),
        }
    }
}

/// One evaluation of a residual on a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Residual<'a> {
    pub geometry: &'a Geometry,
    pub weights: &'a Weights,
    /// Images of the chunk.
    pub images: usize,
}

impl Residual<'_> {
    /// Updates `state` with F(x); both are padded images, `x` with zero padding.
    #[inline(always)]
    pub fn value<S: Simd>(
        self,
        simd: S,
        w: &mut Workspace,
        x: &[f32],
        update: Update,
        state: &mut [f32],
    ) {
        let (geometry, at) = (self.geometry, w.points);
        let Self { weights, .. } = self;
        for rows in self.strips(w.tile_rows) {
            let tiles = rows.len() * geometry.tile_columns;
            simd.vectorize(Gather { geometry, rows: rows.clone(), x, points: &mut w.x, at });
            simd.vectorize(Multiply {
                at,
                tiles,
                a: &w.x,
                u: &weights.forward,
                out: &mut w.hidden,
            });
            simd.vectorize(Activate { of: self, rows: rows.clone(), points: &mut w.hidden, at });
            simd.vectorize(Multiply {
                at,
                tiles,
                a: &w.hidden,
                u: &weights.adjoint,
                out: &mut w.x,
            });
            let (points, sum, state) = (&*w.x, &mut w.value, &mut *state);
            simd.vectorize(AddUp { geometry, rows, points, at, sum, update, x, state });
        }
    }

    /// Updates `state` with F(x) and `slope` with s·Jᵀv, with one evaluation of F; sets the gradients
    /// of s·⟨v, F(x)⟩ with respect to the kernel, `[c, c, 3, 3]`, and the bias, `[c]`.
    #[inline(always)]
    pub fn pull_back<S: Simd>(
        self,
        simd: S,
        w: &mut Workspace,
        (x, v): (&[f32], &[f32]),
        (update, state): (Update, &mut [f32]),
        (scale, slope): (f32, &mut [f32]),
        (kernel, bias): (&mut [f32], &mut [f32]),
    ) {
        let (geometry, at) = (self.geometry, w.points);
        let Self { weights: Weights { forward, adjoint, .. }, .. } = self;
        w.kernel_points.fill(0.0);
        w.bias.fill(0.0);
        for rows in self.strips(w.tile_rows) {
            let tiles = rows.len() * geometry.tile_columns;
            simd.vectorize(Gather { geometry, rows: rows.clone(), x, points: &mut w.x, at });
            let points = &mut *w.cotangent;
            simd.vectorize(Gather { geometry, rows: rows.clone(), x: v, points, at });
            simd.vectorize(Multiply { at, tiles, a: &w.x, u: forward, out: &mut w.hidden });
            simd.vectorize(Multiply { at, tiles, a: &w.cotangent, u: forward, out: &mut w.delta });
            simd.vectorize(ActivateBoth {
                of: self,
                rows: rows.clone(),
                hidden: &mut w.hidden,
                delta: &mut w.delta,
                bias_sums: &mut w.bias,
                at,
            });
            simd.vectorize(Multiply { at, tiles, a: &w.hidden, u: adjoint, out: &mut w.back });
            let (points, sum, state) = (&*w.back, &mut w.value, &mut *state);
            simd.vectorize(AddUp {
                geometry,
                rows: rows.clone(),
                points,
                at,
                sum,
                update,
                x,
                state,
            });
            simd.vectorize(Multiply { at, tiles, a: &w.delta, u: adjoint, out: &mut w.back });
            let (points, sum, state) = (&*w.back, &mut w.pulled, &mut *slope);
            let update = Update::Add(scale);
            simd.vectorize(AddUp { geometry, rows, points, at, sum, update, x, state });
            // dU += V_x ⊗ D̂ + V_v ⊗ Â.
            let pairs = [(&*w.x, &*w.delta), (&*w.cotangent, &*w.hidden)];
            simd.vectorize(AddOuter { at, tiles, pairs, out: &mut w.kernel_points });
        }
        simd.vectorize(KernelGradient {
            geometry,
            points: &w.kernel_points,
            scale,
            gradient: kernel,
        });
        for (bias, sum) in bias.iter_mut().zip(w.bias.iter()) {
            *bias = scale * sum;
        }
    }

    /// Ranges of rows of tiles, counted over all images.
    fn strips(self, length: usize) -> impl Iterator<Item = Range<usize>> {
        let rows = self.images * self.geometry.tile_rows;
        (0..rows).step_by(length).map(move |start| start..(start + length).min(rows))
    }

    #[inline(always)]
    fn bias<S: Simd>(self, channel: usize) -> S::f32s {
        assert!(channel + S::F32_LANES <= self.weights.bias.len());
        // SAFETY: the assertion above.
        unsafe { load::<S>(self.weights.bias.as_ptr().add(channel)) }
    }
}

/// σ(Aᵀ·m·A + b) in the transform domain again; pixels outside the image become zero.
struct Activate<'a> {
    of: Residual<'a>,
    rows: Range<usize>,
    points: &'a mut [f32],
    at: Points,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, points, at } = self;
        let zero = simd.splat_f32s(0.0);
        let columns = of.geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let inside = of.geometry.inside(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let bias = of.bias::<S>(channel);
                let mut pixels = to_pixels(simd, points, at, index, channel);
                for pixel in pixels.iter_mut().flatten() {
                    *pixel = simd.max_f32s(simd.add_f32s(*pixel, bias), zero);
                }
                if inside != (4, 4) {
                    clear_outside(simd, &mut pixels, inside);
                }
                to_points(simd, pixels, points, at, index, channel);
            }
        }
    }
}

/// [`Activate`] of `hidden`, and δ = σ′(pre) ⊙ (Aᵀ·delta·A) in the place of `delta`, its sums added
/// to `bias_sums`.
struct ActivateBoth<'a> {
    of: Residual<'a>,
    rows: Range<usize>,
    hidden: &'a mut [f32],
    delta: &'a mut [f32],
    bias_sums: &'a mut [f32],
    at: Points,
}

impl WithSimd for ActivateBoth<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, hidden, delta, bias_sums, at } = self;
        assert!(bias_sums.len() >= at.depth);
        let zero = simd.splat_f32s(0.0);
        let columns = of.geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let inside = of.geometry.inside(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let bias = of.bias::<S>(channel);
                let mut pixels = to_pixels(simd, hidden, at, index, channel);
                let mut slopes = to_pixels(simd, delta, at, index, channel);
                let pairs = pixels.iter_mut().flatten().zip(slopes.iter_mut().flatten());
                for (pixel, slope) in pairs {
                    let pre = simd.add_f32s(*pixel, bias);
                    *pixel = simd.max_f32s(pre, zero);
                    *slope = simd.select_f32s(simd.greater_than_f32s(pre, zero), *slope, zero);
                }
                if inside != (4, 4) {
                    clear_outside(simd, &mut pixels, inside);
                    clear_outside(simd, &mut slopes, inside);
                }
                let mut sum = zero;
                for slope in slopes.iter().flatten() {
                    sum = simd.add_f32s(sum, *slope);
                }
                // SAFETY: channel + lanes ≤ depth, which is a multiple of 16.
                unsafe {
                    let sums = bias_sums.as_mut_ptr().add(channel);
                    store::<S>(sums, simd.add_f32s(load::<S>(sums), sum));
                }
                to_points(simd, pixels, hidden, at, index, channel);
                to_points(simd, slopes, delta, at, index, channel);
            }
        }
    }
}

/// Zeros outside the first (rows, columns) pixels.
#[inline(always)]
fn clear_outside<S: Simd>(
    simd: S,
    pixels: &mut [[S::f32s; 4]; 4],
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
struct Gather<'a> {
    geometry: &'a Geometry,
    rows: Range<usize>,
    x: &'a [f32],
    points: &'a mut [f32],
    at: Points,
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, rows, x, points, at } = self;
        let columns = geometry.tile_columns;
        for (index, tile_row) in rows.enumerate() {
            let patch = geometry.patch(tile_row * columns);
            let tiles = (index * columns, columns);
            gather(simd, &x[patch..], geometry.row_stride(), points, at, tiles);
        }
    }
}
