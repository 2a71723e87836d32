//! The right-hand side of the ODE that a unit integrates, linearised: its Jacobian J, without ever forming it.
//!
//! With the sign that each increment has in its [`Update`]:
//!
//! | update | ODE | J |
//! |---|---|---|
//! | two streams | Ẏ = ±F₁(Z), Ż = ±F₂(Y) | [[0, ±F₁′(Z)], [±F₂′(Y), 0]] |
//! | two steps, X_{j−1} plus an increment | Ẋ = ±F(X) | ±F′(X) |
//! | two steps, extrapolated | Ẍ = ±F(X), as Ẋ = V, V̇ = ±F(X) | [[0, 1], [±F′(X), 0]] |
//! | one step | Ẋ = ±F(X) | ±F′(X) |

use super::update::{Drift, Scheme, State, Term, Update};
use crate::error::Result;
use burn::tensor::Tensor;

/// A function (term, x, v) ↦ F′(x)v, or F′(x)ᵀv, unscaled.
pub type Derivative<'a> = dyn FnMut(Term, &Tensor<4>, Tensor<4>) -> Result<Tensor<4>> + 'a;

/// Whether J works on both tensors of a state, (Y, Z) or (X, V), and not on X alone.
pub fn has_two_parts(update: Update) -> bool {
    match update {
        Update::TwoStream { .. } | Update::TwoStep { drift: Drift::Extrapolated, .. } => true,
        Update::TwoStep { drift: Drift::Previous, .. } | Update::OneStep { .. } => false,
    }
}

/// Jv at the state before a block of `scheme`. Where J works on X alone, v and the result have X in `second`, and `first`
/// is not used.
///
/// # Errors
/// Any error of `jvp`.
pub fn apply(
    (scheme, update): (&dyn Scheme, Update),
    state: &State,
    v: State,
    jvp: &mut Derivative<'_>,
) -> Result<State> {
    let h = scheme.time_step();
    Ok(match update {
        Update::TwoStream { first, second } => State {
            first: jvp(first, &state.second, v.second)? * (first.scale / h),
            second: jvp(second, &state.first, v.first)? * (second.scale / h),
        },
        Update::TwoStep { drift: Drift::Extrapolated, residual } => State {
            second: jvp(residual, &state.second, v.first)? * (residual.scale / (h * h)),
            first: v.second,
        },
        Update::TwoStep { drift: Drift::Previous, residual } => {
            let second = jvp(residual, &state.second, v.second)? * residual.scale.signum();
            State { first: v.first, second }
        }
        Update::OneStep { residual } => {
            let second = jvp(residual, &state.second, v.second)? * (residual.scale / h);
            State { first: v.first, second }
        }
    })
}

/// Jᵀw, see [`apply`].
///
/// # Errors
/// Any error of `vjp`.
pub fn adjoint(
    (scheme, update): (&dyn Scheme, Update),
    state: &State,
    w: State,
    vjp: &mut Derivative<'_>,
) -> Result<State> {
    let h = scheme.time_step();
    Ok(match update {
        Update::TwoStream { first, second } => State {
            first: vjp(second, &state.first, w.second)? * (second.scale / h),
            second: vjp(first, &state.second, w.first)? * (first.scale / h),
        },
        Update::TwoStep { drift: Drift::Extrapolated, residual } => State {
            first: vjp(residual, &state.second, w.second)? * (residual.scale / (h * h)),
            second: w.first,
        },
        // J is a multiple of F′ for both, so its adjoint is the same multiple of the adjoint.
        Update::TwoStep { drift: Drift::Previous, .. } | Update::OneStep { .. } => {
            apply((scheme, update), state, w, vjp)?
        }
    })
}

/// An upper bound of |λ| for every eigenvalue λ of J, from upper bounds of ‖F′‖ by residual: √(‖F₁′‖‖F₂′‖) for two
/// streams, √‖F′‖ for a second-order ODE, ‖F′‖ otherwise.
pub fn frequency_bound(update: Update, lipschitz: &dyn Fn(usize) -> f64) -> f64 {
    match update {
        Update::TwoStream { first, second } => {
            (lipschitz(first.residual) * lipschitz(second.residual)).sqrt()
        }
        Update::TwoStep { drift: Drift::Extrapolated, residual } => {
            lipschitz(residual.residual).sqrt()
        }
        Update::TwoStep { drift: Drift::Previous, residual } | Update::OneStep { residual } => {
            lipschitz(residual.residual)
        }
    }
}
