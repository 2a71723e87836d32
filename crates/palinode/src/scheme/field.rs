//! The right-hand side of the ODE that a unit integrates, linearised: its Jacobian J, without ever forming it.

use super::evaluation::Evaluation;
use super::update::{Drift, State, Term, Update};
use crate::error::Result;
use burn::tensor::Tensor;

/// The ODE that a block makes a step of. The scale of a term is its factor in the right-hand side.
///
/// | field | ODE | J |
/// |---|---|---|
/// | two streams | Ẏ = aF₁(Z), Ż = bF₂(Y) | [[0, aF₁′(Z)], [bF₂′(Y), 0]] |
/// | first order | Ẋ = aF(X) | aF′(X) |
/// | second order | Ẍ = aF(X) − γẊ, as Ẋ = V, V̇ = aF(X) − γV | [[0, 1], [aF′(X), −γ]] |
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field {
    /// Two streams.
    Streams {
        /// aF₁.
        first: Term,
        /// bF₂.
        second: Term,
    },
    /// First order.
    First(Term),
    /// Second order.
    Second {
        /// aF.
        force: Term,
        /// γ.
        damping: f64,
    },
}

/// A function (evaluation, x, v) ↦ F′(x)v, or F′(x)ᵀv, unscaled.
pub type Derivative<'a> = dyn FnMut(Evaluation, &Tensor<4>, Tensor<4>) -> Result<Tensor<4>> + 'a;

impl Field {
    /// The ODE of a single update with time step h; `None` if an update alone does not tell.
    pub fn of(update: Update, h: f64) -> Option<Self> {
        let scaled = |term: Term, factor: f64| Term { scale: term.scale * factor, ..term };
        match update {
            Update::TwoStream { first, second } => Some(Self::Streams {
                first: scaled(first, 1.0 / h),
                second: scaled(second, 1.0 / h),
            }),
            // h for the first step, 2h for the others.
            Update::TwoStep { drift: Drift::Previous, residual } => {
                Some(Self::First(Term { scale: residual.scale.signum(), ..residual }))
            }
            Update::TwoStep { drift: Drift::Extrapolated, residual } => {
                Some(Self::Second { force: scaled(residual, 1.0 / (h * h)), damping: 0.0 })
            }
            Update::OneStep { residual } => Some(Self::First(scaled(residual, 1.0 / h))),
            Update::Damped { .. } | Update::Stage { .. } => None,
        }
    }

    /// Whether J works on both tensors of a state, (Y, Z) or (X, V), and not on X alone.
    pub fn has_two_parts(self) -> bool {
        !matches!(self, Self::First(_))
    }

    /// Jv at `state`. Where J works on X alone, v and the result have X in `second`, and `first` is not used.
    ///
    /// # Errors
    /// Any error of `jvp`.
    pub fn apply(self, state: &State, v: State, jvp: &mut Derivative<'_>) -> Result<State> {
        let mut product = |term: Term, x: &Tensor<4>, v| {
            Ok::<_, crate::Error>(jvp(Evaluation::of(term, 0), x, v)? * term.scale)
        };
        Ok(match self {
            Self::Streams { first, second } => State {
                first: product(first, &state.second, v.second)?,
                second: product(second, &state.first, v.first)?,
            },
            Self::First(term) => {
                State { second: product(term, &state.second, v.second)?, first: v.first }
            }
            Self::Second { force, damping } => {
                let pushed = product(force, &state.second, v.first)?;
                State { second: damped(pushed, &v.second, damping), first: v.second }
            }
        })
    }

    /// Jᵀw, see [`apply`](Self::apply).
    ///
    /// # Errors
    /// Any error of `vjp`.
    pub fn adjoint(self, state: &State, w: State, vjp: &mut Derivative<'_>) -> Result<State> {
        let mut product = |term: Term, x: &Tensor<4>, w| {
            Ok::<_, crate::Error>(vjp(Evaluation::of(term, 0), x, w)? * term.scale)
        };
        Ok(match self {
            Self::Streams { first, second } => State {
                first: product(second, &state.first, w.second)?,
                second: product(first, &state.second, w.first)?,
            },
            Self::First(term) => {
                State { second: product(term, &state.second, w.second)?, first: w.first }
            }
            Self::Second { force, damping } => State {
                second: damped(w.first, &w.second, damping),
                first: product(force, &state.second, w.second)?,
            },
        })
    }

    /// An upper bound of |λ| for every eigenvalue λ of J, from upper bounds of ‖F′‖ by residual: √(‖F₁′‖‖F₂′‖) for two
    /// streams, √‖F′‖ for second order (up to γ, where it is damped), ‖F′‖ for first order.
    pub fn frequency_bound(self, lipschitz: &dyn Fn(usize) -> f64) -> f64 {
        let of = |term: Term| term.scale.abs() * lipschitz(term.residual);
        match self {
            Self::Streams { first, second } => (of(first) * of(second)).sqrt(),
            Self::First(term) => of(term),
            Self::Second { force, damping } => of(force).sqrt().max(damping),
        }
    }
}

/// a − γv.
fn damped(a: Tensor<4>, v: &Tensor<4>, damping: f64) -> Tensor<4> {
    if damping == 0.0 {
        return a;
    }
    a - v.clone() * damping
}
