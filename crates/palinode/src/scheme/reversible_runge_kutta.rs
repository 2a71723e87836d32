//! Any explicit Runge–Kutta method, made reversible.

use super::definition::Scheme;
use super::field::Field;
use super::runge_kutta::RungeKutta;
use super::update::{Half, Increment, Role, Streams, Term, Update};

/// A Runge–Kutta method of Ẋ = F(X) with increment Ψ_h, made reversible by a second copy of the state.
///
/// Both copies begin as Y = Z = X₀; Y_N is the output.
///
/// * forward: Y⁺ = λY + (1 − λ)Z + Ψ_h(Z), Z⁺ = Z − Ψ_{−h}(Y⁺)
/// * inverse: Z = Z⁺ + Ψ_{−h}(Y⁺), Y = (Y⁺ − (1 − λ)Z − Ψ_h(Z))/λ; exact on a [`Grid`](super::Grid) for λ = 1
/// * order: that of the method, or more with λ below 1
/// * linear stability: besides the solution there is a parasitic mode, in which the copies part. For an eigenvalue μ of F′ it is
///   multiplied by about λe^{−hμ} in a block. With λ = 1 it stays bounded for imaginary μ, and grows for every μ < 0: a
///   parabolic field needs λ < 1 and h|μ| < ln(1/λ), or few blocks.
///
/// One block is one step: twice as many evaluations of its residual as the method has stages. Any field has an inverse
/// here, also one that loses information, such as [`Parabolic`](crate::residual::Parabolic).
/// Source: S. McCallum, J. Foster, "Efficient, Accurate and Stable Gradients for Neural ODEs", 2024.
#[derive(Clone, Copy, Debug)]
pub struct ReversibleRungeKutta {
    /// h.
    pub step: f64,
    /// The method.
    pub method: RungeKutta,
    /// λ, above 0 and at most 1.
    pub coupling: f64,
}

impl Scheme for ReversibleRungeKutta {
    fn streams(&self) -> Streams {
        Streams::One
    }

    fn residuals_per_block(&self) -> usize {
        1
    }

    fn time_step(&self) -> f64 {
        self.step
    }

    fn field(&self, block: usize) -> Option<Field> {
        Some(Field::First(Term::new(1.0, block)))
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let stage = |changed, kept, direction: f64| {
            let scale = direction * self.step;
            let term = Term { scale, residual: block, role: Role::Forward };
            let increment = Increment { method: self.method, term, factor: direction };
            Update::Stage { changed, kept, increment }
        };
        // Y is the second tensor, which is the unit's output.
        vec![stage(Half::Second, self.coupling, 1.0), stage(Half::First, 1.0, -1.0)]
    }
}
