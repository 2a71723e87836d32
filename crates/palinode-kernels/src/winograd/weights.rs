//! U = GKGᵀ of one kernel, packed both ways, and the way back for gradients.

use super::{Geometry, POINTS};
use crate::aligned::Aligned;
use crate::register::{load, packed, store};
use pulp::{Simd, WithSimd};

/// One kernel in the transform domain, and its bias, padded with zeros.
pub(crate) struct Weights {
    /// U, `[point]` and a packed matrix `[input][output]` each.
    pub forward: Aligned,
    /// Uᵀ, `[point]` and a packed matrix `[output][input]` each.
    pub adjoint: Aligned,
    /// b, `[channel]`.
    pub bias: Aligned,
}

impl Weights {
    pub fn zeros(geometry: &Geometry) -> Self {
        let points = POINTS * geometry.depth * geometry.depth;
        Self {
            forward: Aligned::zeros(points),
            adjoint: Aligned::zeros(points),
            bias: Aligned::zeros(geometry.depth),
        }
    }
}

/// Transforms a kernel `[c, c, 3, 3]` (`[out, in, row, column]`) and takes its bias `[c]`.
pub(crate) struct SetWeights<'a> {
    pub geometry: &'a Geometry,
    pub kernel: &'a [f32],
    pub bias: &'a [f32],
    pub weights: &'a mut Weights,
}

impl WithSimd for SetWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, kernel, bias, weights } = self;
        let (c, depth) = (geometry.channels, geometry.depth);
        assert_eq!((kernel.len(), bias.len()), (c * c * 9, c), "a kernel and its bias");
        weights.bias[..c].copy_from_slice(bias);
        for input in 0..c {
            for output in (0..c).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(c - output);
                let at = packed(depth, depth, input, output);
                // Vectors of neighbouring outputs of one input for U, …
                let taps = Taps::read(kernel, output * c + input, c, lanes);
                transform(simd, &taps, &mut weights.forward, depth * depth, at);
                // … and with the two exchanged for Uᵀ.
                let taps = Taps::read(kernel, input * c + output, 1, lanes);
                transform(simd, &taps, &mut weights.adjoint, depth * depth, at);
            }
        }
    }
}

/// The nine taps of up to 16 kernels side by side.
struct Taps([[f32; 16]; 9]);

impl Taps {
    /// Lane l of `lanes` holds the taps of kernel `first + l·step`, the others zeros.
    #[inline(always)]
    fn read(kernel: &[f32], first: usize, step: usize, lanes: usize) -> Self {
        let mut taps = [[0.0; 16]; 9];
        for lane in 0..lanes {
            let from = &kernel[9 * (first + lane * step)..][..9];
            for (tap, &value) in taps.iter_mut().zip(from) {
                tap[lane] = value;
            }
        }
        Self(taps)
    }

    #[inline(always)]
    fn vector<S: Simd>(&self, row: usize, column: usize) -> S::f32s {
        const { assert!(S::F32_LANES <= 16) };
        // SAFETY: a row of taps holds 16 numbers, a vector at most as many.
        unsafe { load::<S>(self.0[row * 3 + column].as_ptr()) }
    }
}

/// Writes GKGᵀ at every point, `plane` floats apart from `at` on.
#[inline(always)]
fn transform<S: Simd>(simd: S, taps: &Taps, points: &mut [f32], plane: usize, at: usize) {
    assert!(points.len() >= (POINTS - 1) * plane + at + S::F32_LANES);
    let mut half = [[simd.splat_f32s(0.0); 3]; 6];
    for column in 0..3 {
        let k = [0, 1, 2].map(|row| taps.vector::<S>(row, column));
        for (half, value) in half.iter_mut().zip(six(simd, k)) {
            half[column] = value;
        }
    }
    for (row, half) in half.into_iter().enumerate() {
        for (column, value) in six(simd, half).into_iter().enumerate() {
            let to = (row * 6 + column) * plane + at;
            // SAFETY: the assertion above.
            unsafe { store::<S>(points.as_mut_ptr().add(to), value) };
        }
    }
}

/// Gk: three taps to six points.
#[inline(always)]
fn six<S: Simd>(simd: S, k: [S::f32s; 3]) -> [S::f32s; 6] {
    let scaled = |scale: f32, value| simd.mul_f32s(simd.splat_f32s(scale), value);
    let outer = scaled(-1.0 / 6.0, simd.add_f32s(k[0], k[2]));
    let middle = scaled(1.0 / 6.0, k[1]);
    let far = simd.mul_add_e_f32s(simd.splat_f32s(1.0 / 24.0), k[0], scaled(1.0 / 6.0, k[2]));
    let near = scaled(1.0 / 12.0, k[1]);
    [
        scaled(0.25, k[0]),
        simd.sub_f32s(outer, middle),
        simd.add_f32s(outer, middle),
        simd.add_f32s(far, near),
        simd.sub_f32s(far, near),
        k[2],
    ]
}

/// Gᵀu: six points to three taps, the adjoint of [`six`].
#[inline(always)]
fn three<S: Simd>(simd: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
    let scaled = |scale: f32, value| simd.mul_f32s(simd.splat_f32s(scale), value);
    let fma = |scale: f32, value, sum| simd.mul_add_e_f32s(simd.splat_f32s(scale), value, sum);
    let (outer, middle) = (simd.add_f32s(u[1], u[2]), simd.sub_f32s(u[2], u[1]));
    let (far, near) = (simd.add_f32s(u[3], u[4]), simd.sub_f32s(u[3], u[4]));
    let edges = scaled(-1.0 / 6.0, outer);
    [
        simd.add_f32s(fma(0.25, u[0], edges), scaled(1.0 / 24.0, far)),
        fma(1.0 / 6.0, middle, scaled(1.0 / 12.0, near)),
        simd.add_f32s(fma(1.0 / 6.0, far, edges), u[5]),
    ]
}

/// Writes scale·GᵀdUG into a kernel gradient `[c, c, 3, 3]`; dU is packed as [`Weights::forward`].
pub(super) struct KernelGradient<'a> {
    pub geometry: &'a Geometry,
    pub points: &'a [f32],
    pub scale: f32,
    pub gradient: &'a mut [f32],
}

impl WithSimd for KernelGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, points, scale, gradient } = self;
        let (c, depth) = (geometry.channels, geometry.depth);
        let plane = depth * depth;
        assert!(points.len() >= POINTS * plane);
        let scale = simd.splat_f32s(scale);
        for input in 0..c {
            for output in (0..c).step_by(S::F32_LANES) {
                let at = packed(depth, depth, input, output);
                let mut half = [[simd.splat_f32s(0.0); 3]; 6];
                for (row, half) in half.iter_mut().enumerate() {
                    let mut u = [simd.splat_f32s(0.0); 6];
                    for (column, u) in u.iter_mut().enumerate() {
                        // SAFETY: a vector of a packed matrix's row, at one of the points asserted.
                        *u = unsafe {
                            load::<S>(points.as_ptr().add((row * 6 + column) * plane + at))
                        };
                    }
                    *half = three(simd, u);
                }
                let mut taps = Taps([[0.0; 16]; 9]);
                for column in 0..3 {
                    let mut u = [simd.splat_f32s(0.0); 6];
                    for (u, half) in u.iter_mut().zip(&half) {
                        *u = half[column];
                    }
                    for (row, value) in three(simd, u).into_iter().enumerate() {
                        let to = taps.0[row * 3 + column].as_mut_ptr();
                        // SAFETY: a row of taps holds 16 numbers, a vector at most as many.
                        unsafe { store::<S>(to, simd.mul_f32s(scale, value)) };
                    }
                }
                for lane in 0..S::F32_LANES.min(c - output) {
                    let into = &mut gradient[9 * ((output + lane) * c + input)..][..9];
                    for (into, tap) in into.iter_mut().zip(&taps.0) {
                        *into = tap[lane];
                    }
                }
            }
        }
    }
}
