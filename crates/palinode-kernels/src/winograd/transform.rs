//! The four one-dimensional transforms, on vectors of channels.

use pulp::Simd;

/// Bᵀd: six pixels to six points.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
    let (two, four, minus_five) =
        (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(-5.0));
    let minus_four = simd.splat_f32s(-4.0);
    let fma = |a, b, c| simd.mul_add_e_f32s(a, b, c);
    let even = fma(minus_four, d[2], d[4]);
    let odd = fma(minus_four, d[1], d[3]);
    let close = simd.sub_f32s(d[4], d[2]);
    let twice = simd.mul_f32s(two, simd.sub_f32s(d[3], d[1]));
    [
        fma(four, d[0], fma(minus_five, d[2], d[4])),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        simd.add_f32s(close, twice),
        simd.sub_f32s(close, twice),
        fma(four, d[1], fma(minus_five, d[3], d[5])),
    ]
}

/// Aᵀm: six points to four pixels.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
    let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
    let fma = |a, b, c| simd.mul_add_e_f32s(a, b, c);
    let (sum1, difference1) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (sum2, difference2) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(simd.add_f32s(m[0], sum1), sum2),
        fma(two, difference2, difference1),
        fma(four, sum2, sum1),
        simd.add_f32s(fma(eight, difference2, difference1), m[5]),
    ]
}

/// Ay: four pixels to six points, the adjoint of [`output`].
#[inline(always)]
pub(super) fn output_adjoint<S: Simd>(simd: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
    let (two, four, eight) = (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(8.0));
    let fma = |a, b, c| simd.mul_add_e_f32s(a, b, c);
    let (even1, odd1) = (simd.add_f32s(y[0], y[2]), simd.add_f32s(y[1], y[3]));
    let even2 = fma(four, y[2], y[0]);
    let odd2 = fma(eight, y[3], simd.mul_f32s(two, y[1]));
    [
        y[0],
        simd.add_f32s(even1, odd1),
        simd.sub_f32s(even1, odd1),
        simd.add_f32s(even2, odd2),
        simd.sub_f32s(even2, odd2),
        y[3],
    ]
}

/// Bn: six points to six pixels, the adjoint of [`input`].
#[inline(always)]
pub(super) fn input_adjoint<S: Simd>(simd: S, n: [S::f32s; 6]) -> [S::f32s; 6] {
    let (two, four, minus_five) =
        (simd.splat_f32s(2.0), simd.splat_f32s(4.0), simd.splat_f32s(-5.0));
    let minus_four = simd.splat_f32s(-4.0);
    let fma = |a, b, c| simd.mul_add_e_f32s(a, b, c);
    let (sum1, difference1) = (simd.add_f32s(n[1], n[2]), simd.sub_f32s(n[1], n[2]));
    let (sum2, difference2) = (simd.add_f32s(n[3], n[4]), simd.sub_f32s(n[3], n[4]));
    let twice2 = simd.mul_f32s(two, difference2);
    [
        simd.mul_f32s(four, n[0]),
        simd.sub_f32s(fma(four, n[5], simd.mul_f32s(minus_four, difference1)), twice2),
        simd.sub_f32s(fma(minus_five, n[0], simd.mul_f32s(minus_four, sum1)), sum2),
        fma(minus_five, n[5], simd.add_f32s(difference1, twice2)),
        simd.add_f32s(n[0], simd.add_f32s(sum1, sum2)),
        n[5],
    ]
}
