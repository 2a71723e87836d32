//! The pointwise non-linearity σ of a residual.

use num_traits::Float;
use pulp::Simd;

/// The pointwise non-linearity σ.
///
/// All three are non-decreasing with 0 ≤ σ′ ≤ 1. The stability limits of the schemes assume this: a
/// symmetric residual Kᵀσ(Kx + b) then has a Jacobian KᵀDK with 0 ≤ D ≤ 1.
///
/// | name | σ(x) | σ′(x) |
/// |---|---|---|
/// | `relu` | max(x, 0) | 1 where x > 0, else 0 |
/// | `tanh` | tanh x | 1 − tanh² x |
/// | `softplus` | log(1 + eˣ) | 1 / (1 + e⁻ˣ) |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Activation {
    /// max(x, 0), which the paper and the report use.
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// log(1 + eˣ), a smooth ReLU.
    Softplus,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 3] = [Self::Relu, Self::Tanh, Self::Softplus];

    /// σ(x).
    pub fn apply<T: Float>(self, x: T) -> T {
        match self {
            Self::Relu => x.max(T::zero()),
            Self::Tanh => x.tanh(),
            // log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|), which cannot overflow.
            Self::Softplus => x.max(T::zero()) + (-x.abs()).exp().ln_1p(),
        }
    }

    /// σ′(x); for ReLU it is 0 at 0, as in the common frameworks.
    pub fn derivative<T: Float>(self, x: T) -> T {
        match self {
            Self::Relu if x > T::zero() => T::one(),
            Self::Relu => T::zero(),
            Self::Tanh => T::one() - x.tanh().powi(2),
            Self::Softplus => T::one() / (T::one() + (-x).exp()),
        }
    }
}

/// σ(pre) of a vector. (Only ReLU is computed in vectors, the others number by number.)
#[inline(always)]
pub(crate) fn apply<S: Simd>(simd: S, activation: Activation, pre: S::f32s) -> S::f32s {
    match activation {
        Activation::Relu => simd.max_f32s(pre, simd.splat_f32s(0.0)),
        smooth => each::<S>(pre, |x| smooth.apply(x)),
    }
}

/// σ′(pre) ⊙ v, the vector–Jacobian product of [`apply`].
#[inline(always)]
pub(crate) fn vjp<S: Simd>(simd: S, activation: Activation, pre: S::f32s, v: S::f32s) -> S::f32s {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivative_is_the_limit_of_the_difference_quotient() {
        let h = 1e-6;
        for activation in Activation::ALL {
            for x in [-30.0, -2.0, -0.3, 0.4, 1.7, 30.0] {
                let quotient = (activation.apply(x + h) - activation.apply(x - h)) / (2.0 * h);
                let error = (quotient - activation.derivative(x)).abs();
                assert!(error < 1e-8, "{activation:?} at {x}: off by {error:e}");
            }
        }
    }

    #[test]
    fn the_derivative_stays_between_zero_and_one() {
        for activation in Activation::ALL {
            for x in [-1e3_f64, -1.0, 0.0, 1.0, 1e3] {
                assert!((0.0..=1.0).contains(&activation.derivative(x)));
                assert!(activation.apply(x).is_finite());
            }
        }
    }
}
