//! U = GKGᵀ of a kernel, packed both ways, and the adjoint transform of its gradient.

use super::transform;
use crate::geometry::Geometry;
use crate::register::{first, load, packed, set_first, store};
use crate::scratch::Arena;
use pulp::{Simd, WithSimd};

/// One kernel in the transform domain, and its bias, padded with zeros.
pub(crate) struct Weights<'m> {
    /// U: at every point a packed matrix `[input][output]`.
    pub(super) forward: &'m mut [f32],
    /// Uᵀ: at every point a packed matrix `[output][input]`; empty if it is not needed.
    pub(super) adjoint: &'m mut [f32],
    /// b, `[channel]`.
    pub(super) bias: &'m mut [f32],
}

/// Which of a kernel's matrices.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// U.
    Forward,
    /// Uᵀ.
    Adjoint,
}

impl<'m> Weights<'m> {
    /// Room for U and Uᵀ.
    pub fn both(arena: &mut Arena<'m>, geometry: &Geometry) -> Self {
        let len = geometry.points() * geometry.depth * geometry.depth;
        let adjoint = arena.zeros(len);
        Self { adjoint, ..Self::forward(arena, geometry) }
    }

    /// Room for U.
    pub fn forward(arena: &mut Arena<'m>, geometry: &Geometry) -> Self {
        let len = geometry.points() * geometry.depth * geometry.depth;
        let (forward, bias) = (arena.zeros(len), arena.zeros(geometry.depth));
        Self { forward, adjoint: &mut [], bias }
    }

    /// U or Uᵀ.
    pub(super) fn matrices(&self, way: Way) -> &[f32] {
        match way {
            Way::Forward => self.forward,
            Way::Adjoint => self.adjoint,
        }
    }
}

/// Transforms a kernel `[c, c, 3, 3]` (`[out, in, row, column]`), and takes its bias `[c]`, if there is one.
pub(crate) struct SetWeights<'a, 'm> {
    pub geometry: &'a Geometry,
    pub kernel: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub weights: &'a mut Weights<'m>,
}

impl WithSimd for SetWeights<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.geometry.tile {
            4 => self.run::<S, 6>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

impl SetWeights<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const P: usize>(self, simd: S) {
        let Self { geometry, kernel, bias, weights } = self;
        let (c, depth) = (geometry.channels, geometry.depth);
        assert_eq!(kernel.len(), c * c * 9, "elements of a kernel");
        assert_eq!(geometry.points(), P * P, "points of the transform domain");
        if let Some(bias) = bias {
            weights.bias[..c].copy_from_slice(bias);
        }
        for input in 0..c {
            for output in (0..c).step_by(S::F32_LANES) {
                let lanes = S::F32_LANES.min(c - output);
                let at = packed(depth, depth, input, output);
                // For U, vectors of neighbouring outputs of one input.
                let taps = Taps::read(kernel, output * c + input, c, lanes);
                to_points::<S, P>(simd, &taps, weights.forward, depth * depth, at);
                if weights.adjoint.is_empty() {
                    continue;
                }
                // For Uᵀ, with inputs and outputs exchanged.
                let taps = Taps::read(kernel, input * c + output, 1, lanes);
                to_points::<S, P>(simd, &taps, weights.adjoint, depth * depth, at);
            }
        }
    }
}

/// The nine taps of up to 16 kernels side by side.
struct Taps([[f32; 16]; 9]);

impl Taps {
    /// Lane l holds the taps of kernel `start` + l·`step`, or zeros if l is not below `lanes`.
    #[inline(always)]
    fn read(kernel: &[f32], start: usize, step: usize, lanes: usize) -> Self {
        let mut taps = [[0.0; 16]; 9];
        for lane in 0..lanes {
            let from = &kernel[9 * (start + lane * step)..][..9];
            for (tap, &value) in taps.iter_mut().zip(from) {
                tap[lane] = value;
            }
        }
        Self(taps)
    }

    #[inline(always)]
    fn vector<S: Simd>(&self, row: usize, column: usize) -> S::f32s {
        first::<S>(&self.0[row * 3 + column])
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
            // SAFETY: point number row·P + column is below P², so the vector ends where the slice
            // does at the latest, as asserted.
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
                        // SAFETY: `at` is the place of a vector in a packed matrix of `plane` floats, and
                        // there are P² of them, as asserted.
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
                        let taps = &mut taps.0[row * 3 + column];
                        set_first::<S>(taps, simd.mul_f32s(scale, value));
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
