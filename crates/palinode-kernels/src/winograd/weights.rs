//! U = GKGᵀ of one kernel, packed both ways, and the way back for gradients.

use super::products::Way;
use super::transform;
use crate::aligned::Aligned;
use crate::geometry::Geometry;
use crate::register::{load, packed, store};
use pulp::{Simd, WithSimd};

/// One kernel in the transform domain, and its bias, padded with zeros.
pub(super) struct Weights {
    /// U, `[point]` and a packed matrix `[input][output]` each.
    pub forward: Aligned,
    /// Uᵀ, `[point]` and a packed matrix `[output][input]` each; empty where nobody wants it.
    pub adjoint: Aligned,
    /// b, `[channel]`.
    pub bias: Aligned,
}

impl Weights {
    pub fn zeros(geometry: &Geometry) -> Self {
        let points = geometry.points() * geometry.depth * geometry.depth;
        Self { adjoint: Aligned::zeros(points), ..Self::forward_alone(geometry) }
    }

    /// Without Uᵀ.
    pub fn forward_alone(geometry: &Geometry) -> Self {
        let points = geometry.points() * geometry.depth * geometry.depth;
        Self {
            forward: Aligned::zeros(points),
            adjoint: Aligned::default(),
            bias: Aligned::zeros(geometry.depth),
        }
    }

    /// U or Uᵀ.
    pub fn matrices(&self, way: Way) -> &[f32] {
        match way {
            Way::Forward => &self.forward,
            Way::Adjoint => &self.adjoint,
        }
    }
}

/// Transforms a kernel `[c, c, 3, 3]` (`[out, in, row, column]`) and takes its bias `[c]`.
pub(super) struct SetWeights<'a> {
    pub geometry: &'a Geometry,
    pub kernel: &'a [f32],
    pub bias: &'a [f32],
    pub weights: &'a mut Weights,
}

impl WithSimd for SetWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.geometry.tile {
            4 => self.run::<S, 6>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

impl SetWeights<'_> {
    #[inline(always)]
    fn run<S: Simd, const P: usize>(self, simd: S) {
        let Self { geometry, kernel, bias, weights } = self;
        let (c, depth) = (geometry.channels, geometry.depth);
        assert_eq!((kernel.len(), bias.len()), (c * c * 9, c), "a kernel and its bias");
        assert_eq!(geometry.points(), P * P, "points of the transform domain");
        weights.bias[..c].copy_from_slice(bias);
        for input in 0..c {
            for output in (0..c).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(c - output);
                let at = packed(depth, depth, input, output);
                // Vectors of neighbouring outputs of one input for U, …
                let taps = Taps::read(kernel, output * c + input, c, lanes);
                to_points::<S, P>(simd, &taps, &mut weights.forward, depth * depth, at);
                // … and with the two exchanged for Uᵀ.
                if weights.adjoint.is_empty() {
                    continue;
                }
                let taps = Taps::read(kernel, input * c + output, 1, lanes);
                to_points::<S, P>(simd, &taps, &mut weights.adjoint, depth * depth, at);
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
fn to_points<S: Simd, const P: usize>(
    simd: S,
    taps: &Taps,
    points: &mut [f32],
    plane: usize,
    at: usize,
) {
    assert!(points.len() >= (P * P - 1) * plane + at + S::F32_LANES);
    let mut half = [[simd.splat_f32s(0.0); 3]; P];
    for column in 0..3 {
        let k = [0, 1, 2].map(|row| taps.vector::<S>(row, column));
        let values: [S::f32s; P] = transform::kernel(simd, k);
        for (half, value) in half.iter_mut().zip(values) {
            half[column] = value;
        }
    }
    for (row, half) in half.into_iter().enumerate() {
        let values: [S::f32s; P] = transform::kernel(simd, half);
        for (column, value) in values.into_iter().enumerate() {
            let to = (row * P + column) * plane + at;
            // SAFETY: the assertion above.
            unsafe { store::<S>(points.as_mut_ptr().add(to), value) };
        }
    }
}

/// Writes scale·GᵀdUG into a kernel gradient `[c, c, 3, 3]`; dU is packed as [`Weights::forward`].
pub(super) struct KernelGradient<'a, const P: usize> {
    pub geometry: &'a Geometry,
    pub points: &'a [f32],
    pub scale: f32,
    pub gradient: &'a mut [f32],
}

impl<const P: usize> WithSimd for KernelGradient<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { geometry, points, scale, gradient } = self;
        let (c, depth) = (geometry.channels, geometry.depth);
        let plane = depth * depth;
        assert!(points.len() >= P * P * plane);
        let scale = simd.splat_f32s(scale);
        for input in 0..c {
            for output in (0..c).step_by(S::F32_LANES) {
                let at = packed(depth, depth, input, output);
                let mut half = [[simd.splat_f32s(0.0); 3]; P];
                for (row, half) in half.iter_mut().enumerate() {
                    let mut u = [simd.splat_f32s(0.0); P];
                    for (column, u) in u.iter_mut().enumerate() {
                        // SAFETY: a vector of a packed matrix's row, at one of the points asserted.
                        *u = unsafe {
                            load::<S>(points.as_ptr().add((row * P + column) * plane + at))
                        };
                    }
                    *half = transform::kernel_adjoint(simd, u);
                }
                let mut taps = Taps([[0.0; 16]; 9]);
                for column in 0..3 {
                    let mut u = [simd.splat_f32s(0.0); P];
                    for (u, half) in u.iter_mut().zip(&half) {
                        *u = half[column];
                    }
                    let values = transform::kernel_adjoint(simd, u);
                    for (row, value) in values.into_iter().enumerate() {
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
