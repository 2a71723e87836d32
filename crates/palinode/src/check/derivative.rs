//! The two checks of a derivative: the adjoint and the Taylor test.

use burn::tensor::Tensor;

/// |⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖‖y‖) for a linear map A and its claimed adjoint Aᵀ.
///
/// `product` is Ax and `adjoint` is Aᵀy. In f64 the true adjoint gives about 1e-16.
pub fn adjoint_error(x: Tensor<4>, y: Tensor<4>, product: Tensor<4>, adjoint: Tensor<4>) -> f64 {
    let dot = |a: &Tensor<4>, b: &Tensor<4>| (a.clone() * b.clone()).sum().into_scalar::<f64>();
    let size = (dot(&product, &product) * dot(&y, &y)).sqrt().max(f64::MIN_POSITIVE);
    (dot(&product, &y) - dot(&x, &adjoint)).abs() / size
}

/// The orders that [`taylor`] observed for one function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Taylor {
    /// The order of |φ(εd) − φ(0)| in ε: 1 for a smooth φ with ⟨∇φ, d⟩ ≠ 0.
    pub zeroth: f64,
    /// The order of |φ(εd) − φ(0) − ε⟨∇φ, d⟩| in ε: 2 if the gradient is correct, 1 if it is not.
    pub first: f64,
}

/// The Taylor test of a scalar function along a line: `value(ε)` is φ(εd), and `derivative` is
/// ⟨∇φ, d⟩. φ must be twice differentiable there. The orders are observed between ε = `epsilon` and
/// ε = `epsilon`/2⁸.
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
    let order = |from: f64, to: f64| (from / to).log2() / f64::from(HALVINGS);
    Taylor { zeroth: order(first.0, last.0), first: order(first.1, last.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correct_derivative_has_order_two_and_a_wrong_one_order_one() {
        let value = |epsilon: f64| (1.0 + epsilon).sin();
        let right = taylor(value, 1.0_f64.cos(), 0.1);
        assert!((right.zeroth - 1.0).abs() < 0.1 && (right.first - 2.0).abs() < 0.1, "{right:?}");
        let wrong = taylor(value, 1.01 * 1.0_f64.cos(), 0.1);
        assert!(wrong.first < 1.5, "{wrong:?}");
    }
}
