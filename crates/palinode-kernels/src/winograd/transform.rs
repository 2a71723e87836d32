//! The one-dimensional transforms of F(m, 3), on vectors of channels: m pixels come from a patch of
//! p = m + 2 by p multiplications.
//!
//! F(2, 3) uses the points 0, ±1, ∞ of Lavin & Gray, Fast algorithms for convolutional neural networks (CVPR
//! 2016). F(4, 3) uses 0, ±√½, ±√2, ∞ in the place of their 0, ±1, ±2, ∞, which amplify rounding errors by up
//! to 8. With these the factor is at most 3, and results are three to five times as accurate. The points ±√½
//! and ±√2 are scaled so that most entries of A are one. Each function serves both cases; the length of its
//! arrays tells which.

use pulp::Simd;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// The operations that the formulas are written in.
#[derive(Clone, Copy)]
struct Arithmetic<S>(S);

impl<S: Simd> Arithmetic<S> {
    #[inline(always)]
    fn add(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.add_f32s(a, b)
    }

    #[inline(always)]
    fn sub(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.sub_f32s(a, b)
    }

    /// a·x.
    #[inline(always)]
    fn scale(self, a: f32, x: S::f32s) -> S::f32s {
        self.0.mul_f32s(self.0.splat_f32s(a), x)
    }

    /// a·x + y.
    #[inline(always)]
    fn fma(self, a: f32, x: S::f32s, y: S::f32s) -> S::f32s {
        self.0.mul_add_e_f32s(self.0.splat_f32s(a), x, y)
    }

    #[inline(always)]
    fn zero(self) -> S::f32s {
        self.0.splat_f32s(0.0)
    }
}

/// Bᵀd: p pixels to p points.
#[inline(always)]
pub(super) fn input<S: Simd, const P: usize>(simd: S, d: [S::f32s; P]) -> [S::f32s; P] {
    let v = Arithmetic(simd);
    let mut points = [v.zero(); P];
    match P {
        4 => {
            points[0] = v.sub(d[0], d[2]);
            points[1] = v.add(d[1], d[2]);
            points[2] = v.sub(d[2], d[1]);
            points[3] = v.sub(d[1], d[3]);
        }
        _ => {
            let (even1, odd1) = (v.fma(-2.0, d[2], d[4]), v.fma(-2.0, d[1], d[3]));
            let (even2, odd2) = (v.fma(-0.5, d[2], d[4]), v.fma(-0.5, d[1], d[3]));
            points[0] = v.fma(-2.5, d[2], v.add(d[0], d[4]));
            points[1] = v.fma(FRAC_1_SQRT_2, odd1, even1);
            points[2] = v.fma(-FRAC_1_SQRT_2, odd1, even1);
            points[3] = v.fma(SQRT_2, odd2, even2);
            points[4] = v.fma(-SQRT_2, odd2, even2);
            points[5] = v.fma(-2.5, d[3], v.add(d[1], d[5]));
        }
    }
    points
}

/// Bn: p points to p pixels, the adjoint of [`input`].
#[inline(always)]
pub(super) fn input_adjoint<S: Simd, const P: usize>(simd: S, n: [S::f32s; P]) -> [S::f32s; P] {
    let v = Arithmetic(simd);
    let mut pixels = [v.zero(); P];
    match P {
        4 => {
            pixels[0] = n[0];
            pixels[1] = v.add(v.sub(n[1], n[2]), n[3]);
            pixels[2] = v.sub(v.add(n[1], n[2]), n[0]);
            pixels[3] = v.scale(-1.0, n[3]);
        }
        _ => {
            let (sum1, difference1) = (v.add(n[1], n[2]), v.sub(n[1], n[2]));
            let (sum2, difference2) = (v.add(n[3], n[4]), v.sub(n[3], n[4]));
            pixels[0] = n[0];
            pixels[1] = v.fma(-SQRT_2, difference1, v.fma(-FRAC_1_SQRT_2, difference2, n[5]));
            pixels[2] = v.fma(-2.5, n[0], v.fma(-2.0, sum1, v.scale(-0.5, sum2)));
            pixels[3] = v.scale(FRAC_1_SQRT_2, difference1);
            pixels[3] = v.fma(-2.5, n[5], v.fma(SQRT_2, difference2, pixels[3]));
            pixels[4] = v.add(n[0], v.add(sum1, sum2));
            pixels[5] = n[5];
        }
    }
    pixels
}

/// Aᵀm: p points to m pixels.
#[inline(always)]
pub(super) fn output<S: Simd, const M: usize, const P: usize>(
    simd: S,
    m: [S::f32s; P],
) -> [S::f32s; M] {
    let v = Arithmetic(simd);
    let mut pixels = [v.zero(); M];
    let (sum1, difference1) = (v.add(m[1], m[2]), v.sub(m[1], m[2]));
    match M {
        2 => {
            pixels[0] = v.add(m[0], sum1);
            pixels[1] = v.sub(difference1, m[3]);
        }
        _ => {
            let (sum2, difference2) = (v.add(m[3], m[4]), v.sub(m[3], m[4]));
            pixels[0] = v.fma(SQRT_2, sum1, v.fma(FRAC_1_SQRT_2, sum2, m[0]));
            pixels[1] = v.add(difference1, difference2);
            pixels[2] = v.fma(SQRT_2, sum2, v.scale(FRAC_1_SQRT_2, sum1));
            pixels[3] = v.fma(2.0, difference2, v.fma(0.5, difference1, m[5]));
        }
    }
    pixels
}

/// Ay: m pixels to p points, the adjoint of [`output`].
#[inline(always)]
pub(super) fn output_adjoint<S: Simd, const M: usize, const P: usize>(
    simd: S,
    y: [S::f32s; M],
) -> [S::f32s; P] {
    let v = Arithmetic(simd);
    let mut points = [v.zero(); P];
    points[0] = y[0];
    match M {
        2 => {
            points[1] = v.add(y[0], y[1]);
            points[2] = v.sub(y[0], y[1]);
            points[3] = v.scale(-1.0, y[1]);
        }
        _ => {
            let even1 = v.fma(SQRT_2, y[0], v.scale(FRAC_1_SQRT_2, y[2]));
            let even2 = v.fma(SQRT_2, y[2], v.scale(FRAC_1_SQRT_2, y[0]));
            let (odd1, odd2) = (v.fma(0.5, y[3], y[1]), v.fma(2.0, y[3], y[1]));
            points[1] = v.add(even1, odd1);
            points[2] = v.sub(even1, odd1);
            points[3] = v.add(even2, odd2);
            points[4] = v.sub(even2, odd2);
            points[5] = y[3];
        }
    }
    points
}

/// Gk: three taps to p points.
#[inline(always)]
pub(super) fn kernel<S: Simd, const P: usize>(simd: S, k: [S::f32s; 3]) -> [S::f32s; P] {
    let v = Arithmetic(simd);
    let mut points = [v.zero(); P];
    points[P - 1] = k[2];
    match P {
        4 => {
            let (outer, middle) = (v.scale(0.5, v.add(k[0], k[2])), v.scale(0.5, k[1]));
            points[0] = k[0];
            points[1] = v.add(outer, middle);
            points[2] = v.sub(outer, middle);
        }
        _ => {
            let middle = v.scale(1.0 / 3.0, k[1]);
            let near = v.fma(-SQRT_2 / 3.0, k[0], v.scale(-FRAC_1_SQRT_2 / 3.0, k[2]));
            let far = v.fma(SQRT_2 / 3.0, k[2], v.scale(FRAC_1_SQRT_2 / 3.0, k[0]));
            points[0] = k[0];
            points[1] = v.sub(near, middle);
            points[2] = v.add(near, middle);
            points[3] = v.add(far, middle);
            points[4] = v.sub(far, middle);
        }
    }
    points
}

/// Gᵀu: p points to three taps, the adjoint of [`kernel`].
#[inline(always)]
pub(super) fn kernel_adjoint<S: Simd, const P: usize>(simd: S, u: [S::f32s; P]) -> [S::f32s; 3] {
    let v = Arithmetic(simd);
    let near = v.add(u[1], u[2]);
    match P {
        4 => [v.fma(0.5, near, u[0]), v.scale(0.5, v.sub(u[1], u[2])), v.fma(0.5, near, u[3])],
        _ => {
            let far = v.add(u[3], u[4]);
            let middle = v.add(v.sub(u[2], u[1]), v.sub(u[3], u[4]));
            [
                v.fma(-SQRT_2 / 3.0, near, v.fma(FRAC_1_SQRT_2 / 3.0, far, u[0])),
                v.scale(1.0 / 3.0, middle),
                v.fma(-FRAC_1_SQRT_2 / 3.0, near, v.fma(SQRT_2 / 3.0, far, u[5])),
            ]
        }
    }
}
