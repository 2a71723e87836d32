//! F(x) = Kᵀσ(K(x + a) + b).

use super::gemm::Multiply;
use super::residual::{InputGradient, Residual};
use super::rows::AddUp;
use super::strip::{Gather, Workspace, clear_outside};
use super::tile::{Points, to_pixels, to_points};
use super::weights::{Way, Weights};
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
    let Residual { geometry, weights: Weights { forward, adjoint, .. }, at: evaluation } = of;
    let Evaluation { images, x, .. } = evaluation;
    let at = w.points;
    for rows in w.strips(geometry, images) {
        let tiles = rows.len() * geometry.tile_columns;
        let points = &mut *w.x;
        simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points, at });
        let sides = [(&*w.x, &mut *w.hidden)];
        simd.vectorize(Multiply { at, tiles, sides, u: forward });
        simd.vectorize(Activate::<M, P> { of, rows: rows.clone(), points: w.hidden, at });
        let sides = [(&*w.hidden, &mut *w.x)];
        simd.vectorize(Multiply { at, tiles, sides, u: adjoint });
        let (points, sum) = (&*w.x, &mut *w.value_rows);
        let (advance, totals) = (advance.reborrow(), &mut [][..]);
        simd.vectorize(AddUp::<M, P> { geometry, rows, points, at, sum, advance, totals });
    }
}

/// The same, with Jᵀv and the gradients with respect to the parameters: with Â = A·σ·Aᵀ and D̂ = A·δ·Aᵀ,
/// dU = V_x ⊗ D̂ + V_v ⊗ Â.
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
        let strip = (at, rows.len() * geometry.tile_columns);
        let points = &mut *w.x;
        simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x, points, at });
        let points = &mut *w.cotangent;
        simd.vectorize(Gather::<M, P> { geometry, rows: rows.clone(), x: v, points, at });
        let (state, gradient) = ((&*w.x, &mut *w.hidden), (&*w.cotangent, &mut *w.delta));
        w.products.multiply_both(simd, strip, state, gradient, weights, Way::Forward);
        simd.vectorize(ActivateBoth::<M, P> {
            of,
            rows: rows.clone(),
            hidden: w.hidden,
            delta: w.delta,
            bias_sums: w.bias,
            at,
        });
        let pairs = [(&*w.x, &*w.delta), (&*w.cotangent, &*w.hidden)];
        w.products.add_outer(simd, strip, pairs, w.kernel_points);
        let (state, gradient) = ((&*w.hidden, &mut *w.x), (&*w.delta, &mut *w.cotangent));
        w.products.multiply_both(simd, strip, state, gradient, weights, Way::Adjoint);
        let (points, sum) = (&*w.x, &mut *w.value_rows);
        let (advance, totals) = (advance.reborrow(), &mut [][..]);
        let range = rows.clone();
        simd.vectorize(AddUp::<M, P> { geometry, rows: range, points, at, sum, advance, totals });
        into.add_strip::<S, M, P>(simd, of, w, rows);
        w.finish_strip();
    }
}

/// σ(Aᵀ·m·A + b), back in the transform domain; pixels outside the image become zero.
struct Activate<'a, const M: usize, const P: usize> {
    of: Residual<'a>,
    rows: Range<usize>,
    points: &'a mut [f32],
    at: Points,
}

impl<const M: usize, const P: usize> WithSimd for Activate<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, points, at } = self;
        let columns = of.geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let inside = of.geometry.inside(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let bias = of.bias::<S>(channel);
                let mut pixels = to_pixels::<S, M, P>(simd, points, at, index, channel);
                for pixel in pixels.iter_mut().flatten() {
                    *pixel = activation::apply(simd, of.at.activation, simd.add_f32s(*pixel, bias));
                }
                if inside != (M, M) {
                    clear_outside(simd, &mut pixels, inside);
                }
                to_points::<S, M, P>(simd, pixels, points, at, index, channel);
            }
        }
    }
}

/// [`Activate`] of `hidden`, and δ = σ′(pre) ⊙ (Aᵀ·delta·A) in the place of `delta`; the sums of δ are added
/// to `bias_sums`.
struct ActivateBoth<'a, const M: usize, const P: usize> {
    of: Residual<'a>,
    rows: Range<usize>,
    hidden: &'a mut [f32],
    delta: &'a mut [f32],
    bias_sums: &'a mut [f32],
    at: Points,
}

impl<const M: usize, const P: usize> WithSimd for ActivateBoth<'_, M, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, rows, hidden, delta, bias_sums, at } = self;
        let columns = of.geometry.tile_columns;
        for (index, tile) in (rows.start * columns..rows.end * columns).enumerate() {
            let inside = of.geometry.inside(tile);
            for channel in (0..at.depth).step_by(S::F32_LANES) {
                let bias = of.bias::<S>(channel);
                let mut pixels = to_pixels::<S, M, P>(simd, hidden, at, index, channel);
                let mut deltas = to_pixels::<S, M, P>(simd, delta, at, index, channel);
                let pairs = pixels.iter_mut().flatten().zip(deltas.iter_mut().flatten());
                for (pixel, delta) in pairs {
                    let pre = simd.add_f32s(*pixel, bias);
                    *pixel = activation::apply(simd, of.at.activation, pre);
                    *delta = activation::vjp(simd, of.at.activation, pre, *delta);
                }
                if inside != (M, M) {
                    clear_outside(simd, &mut pixels, inside);
                    clear_outside(simd, &mut deltas, inside);
                }
                let mut sum = simd.splat_f32s(0.0);
                for delta in deltas.iter().flatten() {
                    sum = simd.add_f32s(sum, *delta);
                }
                let sums = &mut bias_sums[channel..channel + S::F32_LANES];
                set_first::<S>(sums, simd.add_f32s(first::<S>(sums), sum));
                to_points::<S, M, P>(simd, pixels, hidden, at, index, channel);
                to_points::<S, M, P>(simd, deltas, delta, at, index, channel);
            }
        }
    }
}
