//! The pointwise non-linearity σ of a residual.

use num_traits::Float;

/// The pointwise non-linearity σ.
///
/// All three are non-decreasing with 0 ≤ σ′ ≤ 1, which is what the stability limits of the schemes
/// assume (a symmetric residual Kᵀσ(Kx + b) then has a Jacobian KᵀDK with 0 ≤ D ≤ 1).
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
    /// max(x, 0), the choice of the paper and of the report.
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// log(1 + eˣ), the smooth relative of ReLU.
    Softplus,
}

impl Activation {
    /// Every activation, for tests and for listing.
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

    /// σ′(x); for ReLU the value at 0 is 0, as in the common frameworks.
    pub fn derivative<T: Float>(self, x: T) -> T {
        match self {
            Self::Relu if x > T::zero() => T::one(),
            Self::Relu => T::zero(),
            Self::Tanh => T::one() - x.tanh().powi(2),
            Self::Softplus => T::one() / (T::one() + (-x).exp()),
        }
    }
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
    fn slope_stays_between_zero_and_one() {
        for activation in Activation::ALL {
            for x in [-1e3_f64, -1.0, 0.0, 1.0, 1e3] {
                assert!((0.0..=1.0).contains(&activation.derivative(x)));
                assert!(activation.apply(x).is_finite());
            }
        }
    }
}
