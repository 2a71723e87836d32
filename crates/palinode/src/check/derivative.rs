//! The two checks of a derivative: the adjoint and the Taylor test.

use burn::tensor::Tensor;

/// |⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖‖y‖) of a linear map A and what is claimed to be its adjoint.
///
/// `product` is Ax and `adjoint` is Aᵀy. In f64 the true adjoint gives about 1e-16.
pub fn adjoint_error(x: Tensor<4>, y: Tensor<4>, product: Tensor<4>, adjoint: Tensor<4>) -> f64 {
    let dot = |a: &Tensor<4>, b: &Tensor<4>| (a.clone() * b.clone()).sum().into_scalar::<f64>();
    let size = (dot(&product, &product) * dot(&y, &y)).sqrt().max(f64::MIN_POSITIVE);
    (dot(&product, &y) - dot(&x, &adjoint)).abs() / size
}

/// What [`taylor`] found for one function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Taylor {
    /// The slope of log |φ(εd) − φ(0)| against log ε: 1 where φ is continuous.
    pub zeroth: f64,
    /// The slope of log |φ(εd) − φ(0) − ε⟨∇φ, d⟩| against log ε: 2 where the gradient is right.
    pub first: f64,
}

/// The Taylor test of a scalar function along a line: `value(ε)` is φ(εd) and `derivative` is ⟨∇φ, d⟩,
/// for a φ with two derivatives there. Halves ε eight times from `epsilon`.
///
/// Source: the derivative checks of Meganet.m (Haber, Ruthotto et al.).
pub fn taylor(value: impl Fn(f64) -> f64, derivative: f64, epsilon: f64) -> Taylor {
    const HALVINGS: u32 = 8;
    let start = value(0.0);
    let errors = |epsilon: f64| {
        let change = value(epsilon) - start;
        (change.abs(), (change - epsilon * derivative).abs())
    };
    let (first, last) = (errors(epsilon), errors(epsilon / f64::from(1 << HALVINGS)));
    let slope = |from: f64, to: f64| (from / to).log2() / f64::from(HALVINGS);
    Taylor { zeroth: slope(first.0, last.0), first: slope(first.1, last.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_derivative_has_order_two_and_a_wrong_one_order_one() {
        let value = |epsilon: f64| (1.0 + epsilon).sin();
        let right = taylor(value, 1.0_f64.cos(), 0.1);
        assert!((right.zeroth - 1.0).abs() < 0.1 && (right.first - 2.0).abs() < 0.1, "{right:?}");
        let wrong = taylor(value, 1.01 * 1.0_f64.cos(), 0.1);
        assert!(wrong.first < 1.5, "{wrong:?}");
    }
}
