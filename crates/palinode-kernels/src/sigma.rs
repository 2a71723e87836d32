//! σ and σ′ on vectors.

use crate::activation::Activation;
use pulp::Simd;

/// σ(pre). (ReLU in vectors; the others number by number.)
#[inline(always)]
pub(crate) fn apply<S: Simd>(simd: S, activation: Activation, pre: S::f32s) -> S::f32s {
    match activation {
        Activation::Relu => simd.max_f32s(pre, simd.splat_f32s(0.0)),
        smooth => each::<S>(pre, |x| smooth.apply(x)),
    }
}

/// σ′(pre) ⊙ v.
#[inline(always)]
pub(crate) fn pull<S: Simd>(simd: S, activation: Activation, pre: S::f32s, v: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    match activation {
        Activation::Relu => simd.select_f32s(simd.greater_than_f32s(pre, zero), v, zero),
        smooth => simd.mul_f32s(v, each::<S>(pre, |x| smooth.derivative(x))),
    }
}

#[inline(always)]
fn each<S: Simd>(mut vector: S::f32s, f: impl Fn(f32) -> f32) -> S::f32s {
    let lanes: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut vector));
    lanes.iter_mut().for_each(|lane| *lane = f(*lane));
    vector
}
