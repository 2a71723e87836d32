//! F(x) = σ(M(x + a) + b) with one convolution M: K, Kᵀ or K − Kᵀ.

use super::gemm::Multiply;
use super::residual::{InputGradient, Residual};
use super::strip::{Gather, Workspace};
use super::tile::{Points, to_pixels, to_points};
use super::weights::Way;
use crate::activation;
use crate::evaluation::Advance;
use crate::evaluation::Evaluation;
use crate::register::{first, set_first};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Increments a state by F(x).
#[inline(always)]
pub(super) fn value<S: Simd, const M: usize, const P: usize>(
    simd: S,
    of: Residual<'_>,
    w: &mut Workspace<'_>,
    mut advance: Advance<'_>,
) {
    let Residual { geometry, weights, at: Evaluation { images, x, .. } } = of;
    let at = w.points;
    for rows in w.strips(geometry, images) {
        let tiles = rows.len() * geometry.tile_columns;
        let points = &mut *w.x;
        simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points, at });
        let (sides, u) = ([(&*w.x, &mut *w.hidden)], &*weights.forward);
        simd.vectorize(Multiply { at, tiles, sides, u });
        let (points, advance) = (&*w.hidden, advance.reborrow());
        simd.vectorize(Finish::<M, P> { of, rows, points, at, advance, vjp: None });
    }
}

/// The same, with Jᵀv and the gradients with respect to the parameters: dU = V_x ⊗ D̂ with D̂ = A·δ·Aᵀ and
/// δ = σ′(pre) ⊙ v.
#[inline(always)]
pub(super) fn vjp<S: Simd, const M: usize, const P: usize>(
    simd: S,
    of: Residual<'_>,
    w: &mut Workspace<'_>,
    v: &[f32],
    mut advance: Advance<'_>,
    mut into: InputGradient<'_>,
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
        let (points, advance) = (&*w.hidden, advance.reborrow());
        let vjp = Some(Vjp { v, delta: &mut *w.delta, bias_sums: &mut *w.bias });
        simd.vectorize(Finish::<M, P> { of, rows: range, points, at, advance, vjp });
        let pairs = [(&*w.x, &*w.delta)];
        w.products.add_outer(simd, strip, pairs, w.kernel_points);
        let gradient = (&*w.delta, &mut *w.cotangent);
        w.products.multiply(simd, strip, gradient, weights, Way::Adjoint);
        into.add_strip::<S, M, P>(simd, of, w, rows);
        w.finish_strip();
    }
}

/// Increments a state by σ(Aᵀ·m·A + b) of some rows of tiles.
struct Finish<'a, const M: usize, const P: usize> {
    of: Residual<'a>,
    rows: Range<usize>,
    points: &'a [f32],
    at: Points,
    advance: Advance<'a>,
    vjp: Option<Vjp<'a>>,
}

/// What is computed at the same pixels for gradients.
struct Vjp<'a> {
    /// The cotangent of F, padded images.
    v: &'a [f32],
    /// Set to A·δ·Aᵀ.
    delta: &'a mut [f32],
    /// Σ of δ per channel is added to it.
    bias_sums: &'a mut [f32],
}

impl<const M: usize, const P: usize> WithSimd for Finish<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, points, at, advance, mut vjp } = self;
        let Advance { increment, x, state } = advance;
        let geometry = of.geometry;
        let columns = geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let (rows, columns) = geometry.inside(tile);
            let corner = geometry.first_pixel(tile);
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
                        let start = corner + from + channel;
                        let place = start..start + S::F32_LANES;
                        let pre = simd.add_f32s(*pixel, bias);
                        let value = activation::apply(simd, of.at.activation, pre);
                        let (x, state) = (&x[place.clone()], &mut state[place.clone()]);
                        increment.apply_vector(simd, value, x, state);
                        if let Some(Vjp { v, .. }) = &vjp {
                            let v = first::<S>(&v[place]);
                            *pixel = activation::vjp(simd, of.at.activation, pre, v);
                        }
                    }
                }
                if let Some(Vjp { delta, bias_sums, .. }) = &mut vjp {
                    let mut sum = simd.splat_f32s(0.0);
                    for pixel in pixels.iter().flatten() {
                        sum = simd.add_f32s(sum, *pixel);
                    }
                    let sums = &mut bias_sums[channel..channel + S::F32_LANES];
                    set_first::<S>(sums, simd.add_f32s(first::<S>(sums), sum));
                    to_points::<S, M, P>(simd, pixels, delta, at, index, channel);
                }
            }
        }
    }
}
