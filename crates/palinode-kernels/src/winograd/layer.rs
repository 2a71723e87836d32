//! F(x) = σ(M(x + a) + b) with one convolution M: K, Kᵀ or K − Kᵀ.

use super::gemm::Multiply;
use super::products::Way;
use super::residual::{Residual, Slope};
use super::strip::{Gather, Workspace};
use super::tile::{Points, to_pixels, to_points};
use crate::evaluation::Advance;
use crate::evaluation::Evaluation;
use crate::number::Number;
use crate::register::{load, store};
use crate::sigma::{apply, pull};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// See [`Residual::value`].
#[inline(always)]
pub(super) fn value<S: Simd, N: Number, const M: usize, const P: usize>(
    simd: S,
    of: Residual<'_>,
    w: &mut Workspace,
    mut advance: Advance<'_, N>,
) {
    let Residual { geometry, weights, at: Evaluation { images, x, .. } } = of;
    let at = w.points;
    for rows in w.strips(geometry, images) {
        let tiles = rows.len() * geometry.tile_columns;
        let points = &mut *w.x;
        simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points, at });
        let (sides, u) = ([(&*w.x, &mut *w.hidden)], &*weights.forward);
        simd.vectorize(Multiply { at, tiles, sides, u });
        let (points, into) = (&*w.hidden, advance.reborrow());
        simd.vectorize(Finish::<N, M, P> { of, rows, points, at, into, pull_back: None });
    }
}

/// See [`Residual::pull_back`]. dU = V_x ⊗ D̂ with D̂ = A·δ·Aᵀ and δ = σ′(pre) ⊙ v.
#[inline(always)]
pub(super) fn pull_back<S: Simd, N: Number, const M: usize, const P: usize>(
    simd: S,
    of: Residual<'_>,
    w: &mut Workspace,
    v: &[f32],
    mut advance: Advance<'_, N>,
    mut slope: Slope<'_>,
) {
    let Residual { geometry, weights, at: Evaluation { images, x, .. } } = of;
    let at = w.points;
    for rows in w.strips(geometry, images) {
        let strip @ (_, tiles) = (at, rows.len() * geometry.tile_columns);
        let points = &mut *w.x;
        simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points, at });
        let (sides, u) = ([(&*w.x, &mut *w.hidden)], &*weights.forward);
        simd.vectorize(Multiply { at, tiles, sides, u });
        let range = rows.clone();
        let (points, into) = (&*w.hidden, advance.reborrow());
        let pull_back = Some(PullBack { v, delta: &mut w.delta, bias_sums: &mut w.bias });
        simd.vectorize(Finish::<N, M, P> { of, rows: range, points, at, into, pull_back });
        let pairs = [(&*w.x, &*w.delta)];
        w.products.add_outer(simd, strip, pairs, &mut w.kernel_points);
        let gradient = (&*w.delta, &mut *w.cotangent);
        w.products.multiply(simd, strip, gradient, weights, Way::Adjoint);
        slope.add_strip::<S, M, P>(simd, of, w, rows);
        w.finish_strip();
    }
}

/// Updates a state with σ(Aᵀ·m·A + b) of some rows of tiles.
struct Finish<'a, N, const M: usize, const P: usize> {
    of: Residual<'a>,
    rows: Range<usize>,
    points: &'a [f32],
    at: Points,
    into: Advance<'a, N>,
    pull_back: Option<PullBack<'a>>,
}

/// What is computed at the same pixels for the way back.
struct PullBack<'a> {
    /// The cotangent of F, padded images.
    v: &'a [f32],
    /// Set to A·δ·Aᵀ.
    delta: &'a mut [f32],
    /// Σ of δ per channel, added to.
    bias_sums: &'a mut [f32],
}

impl<N: Number, const M: usize, const P: usize> WithSimd for Finish<'_, N, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, points, at, into, mut pull_back } = self;
        let Advance { increment, x, state } = into;
        let geometry = of.geometry;
        let columns = geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let (rows, columns) = geometry.inside(tile);
            let first = geometry.first_pixel(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let bias = of.bias::<S>(channel);
                let mut pixels = to_pixels::<S, M, P>(simd, points, at, index, channel);
                for (row, pixels) in pixels.iter_mut().enumerate() {
                    for (column, pixel) in pixels.iter_mut().enumerate() {
                        if row >= rows || column >= columns {
                            *pixel = simd.splat_f32s(0.0);
                            continue;
                        }
                        let from = row * geometry.row_stride() + column * geometry.depth;
                        let place = first + from + channel..first + from + channel + S::F32_LANES;
                        let pre = simd.add_f32s(*pixel, bias);
                        let value = apply(simd, of.at.activation, pre);
                        let (x, state) = (&x[place.clone()], &mut state[place.clone()]);
                        N::update_vector(simd, increment, value, x, state);
                        if let Some(PullBack { v, .. }) = &pull_back {
                            // SAFETY: a vector long, as the range says.
                            let v = unsafe { load::<S>(v[place].as_ptr()) };
                            *pixel = pull(simd, of.at.activation, pre, v);
                        }
                    }
                }
                if let Some(PullBack { delta, bias_sums, .. }) = &mut pull_back {
                    let mut sum = simd.splat_f32s(0.0);
                    for pixel in pixels.iter().flatten() {
                        sum = simd.add_f32s(sum, *pixel);
                    }
                    let sums = &mut bias_sums[channel..channel + S::F32_LANES];
                    // SAFETY: a vector long, as the range says.
                    unsafe {
                        let total = simd.add_f32s(load::<S>(sums.as_ptr()), sum);
                        store::<S>(sums.as_mut_ptr(), total);
                    }
                    to_points::<S, M, P>(simd, pixels, delta, at, index, channel);
                }
            }
        }
    }
}
