//! One block of any scheme: forward, inverse, and inverse with gradients.
//!
//! The residuals are passed as functions, so the same code works for plain evaluation, a recorded
//! autodiff graph and local vector–Jacobian products.
//!
//! If the state lies on a [`Grid`], increments are rounded to it, and the inverse is exact.

use super::grid::{Grid, rounded};
use super::update::{Drift, Scheme, State, Streams, Term, Update};
use crate::error::{Error, Result};
use burn::tensor::Tensor;

/// The state before the first block: the two halves of `input`'s channels, or (X₋₁, X₀).
pub fn open(scheme: &dyn Scheme, input: Tensor<4>) -> State {
    match scheme.streams() {
        Streams::Two => State::split(input),
        Streams::One if scheme.starts_at_rest() => State { first: input.clone(), second: input },
        Streams::One => State { first: input.zeros_like(), second: input },
    }
}

/// The unit's output from the state after the last block: both streams joined, or X_N.
pub fn close(scheme: &dyn Scheme, state: State) -> Tensor<4> {
    match scheme.streams() {
        Streams::Two => state.joined(),
        Streams::One => state.second,
    }
}

/// The gradient with respect to [`open`]'s input, from the gradient with respect to its result.
pub(crate) fn open_gradient(scheme: &dyn Scheme, gradient: State) -> Tensor<4> {
    match scheme.streams() {
        Streams::Two => gradient.joined(),
        Streams::One if scheme.starts_at_rest() => gradient.first + gradient.second,
        Streams::One => gradient.second,
    }
}

/// The gradient with respect to [`close`]'s argument, from the gradient with respect to its result.
pub(crate) fn close_gradient(scheme: &dyn Scheme, gradient: Tensor<4>) -> State {
    match scheme.streams() {
        Streams::Two => open(scheme, gradient),
        Streams::One => State { first: gradient.zeros_like(), second: gradient },
    }
}

/// A function that evaluates a residual: (term, x) ↦ F(x), unscaled.
pub type Evaluate<'a> = dyn FnMut(Term, Tensor<4>) -> Result<Tensor<4>> + 'a;

/// A function that differentiates a residual: (term, x, v) ↦ (F(x), Jᵀv), unscaled. It also collects
/// the gradients with respect to the parameters.
pub type Differentiate<'a> =
    dyn FnMut(Term, Tensor<4>, Tensor<4>) -> Result<(Tensor<4>, Tensor<4>)> + 'a;

/// The state after a block.
///
/// # Errors
/// Any error of `value`.
pub fn step(
    (update, grid): (Update, Option<Grid>),
    state: State,
    value: &mut Evaluate<'_>,
) -> Result<State> {
    let scaled = |value: Tensor<4>, scale: f64| rounded(value * scale, grid);
    Ok(match update {
        Update::TwoStream { first, second } => {
            let y = state.first + scaled(value(first, state.second.clone())?, first.scale);
            let z = state.second + scaled(value(second, y.clone())?, second.scale);
            State { first: y, second: z }
        }
        Update::TwoStep { drift, residual } => {
            let increment = scaled(value(residual, state.second.clone())?, residual.scale);
            let next = match drift {
                Drift::Previous => state.first + increment,
                Drift::Extrapolated => extrapolated(&state.second, state.first, increment),
            };
            State { first: state.second, second: next }
        }
        Update::OneStep { residual } => {
            let increment = value(residual, state.second.clone())? * residual.scale;
            let next = state.second.clone() + increment;
            State { first: state.second, second: next }
        }
    })
}

/// 2X − X′ + increment as X + ((X − X′) + increment): neighbouring states are close, so their
/// difference is (nearly) exact and only the last sum rounds.
fn extrapolated(current: &Tensor<4>, other: Tensor<4>, increment: Tensor<4>) -> Tensor<4> {
    current.clone() + ((current.clone() - other) + increment)
}

/// X_{j−1} from X_j, X_{j+1} and s·F(X_j).
fn previous(drift: Drift, current: &Tensor<4>, next: Tensor<4>, increment: Tensor<4>) -> Tensor<4> {
    match drift {
        Drift::Previous => next - increment,
        Drift::Extrapolated => extrapolated(current, next, increment),
    }
}

/// The state before a block, from the state after it.
///
/// # Errors
/// [`Error::NoInverse`] if the update has no inverse, and any error of `value`.
pub fn unstep(
    (update, grid): (Update, Option<Grid>),
    state: State,
    value: &mut Evaluate<'_>,
) -> Result<State> {
    let scaled = |value: Tensor<4>, scale: f64| rounded(value * scale, grid);
    match update {
        Update::TwoStream { first, second } => {
            let z = state.second - scaled(value(second, state.first.clone())?, second.scale);
            let y = state.first - scaled(value(first, z.clone())?, first.scale);
            Ok(State { first: y, second: z })
        }
        Update::TwoStep { drift, residual } => {
            let increment = scaled(value(residual, state.first.clone())?, residual.scale);
            let before = previous(drift, &state.first, state.second, increment);
            Ok(State { first: before, second: state.first })
        }
        Update::OneStep { .. } => Err(Error::NoInverse),
    }
}

/// The state before a block and the gradient with respect to it, from the state after it and the
/// gradient with respect to that.
///
/// One evaluation of F gives both the reconstruction and the gradient. If the state before the block was
/// stored, pass it as `known`; nothing is then reconstructed.
///
/// # Errors
/// [`Error::NoInverse`] if the update has no inverse and no state is known, and any error of `vjp`.
pub fn unstep_with_gradient(
    (update, grid): (Update, Option<Grid>),
    state: State,
    known: Option<State>,
    gradient: State,
    vjp: &mut Differentiate<'_>,
) -> Result<(State, State)> {
    let scaled = |value: Tensor<4>, scale: f64| rounded(value * scale, grid);
    Ok(match update {
        Update::TwoStream { first, second } => {
            let cotangent = gradient.second.clone() * second.scale;
            let (value, product) = vjp(second, state.first.clone(), cotangent)?;
            let (known_y, known_z) = known.map(|known| (known.first, known.second)).unzip();
            let z = known_z.unwrap_or_else(|| state.second - scaled(value, second.scale));
            let gradient_y = gradient.first + product;

            let cotangent = gradient_y.clone() * first.scale;
            let (value, product) = vjp(first, z.clone(), cotangent)?;
            let y = known_y.unwrap_or_else(|| state.first - scaled(value, first.scale));
            let gradient_z = gradient.second + product;
            (State { first: y, second: z }, State { first: gradient_y, second: gradient_z })
        }
        Update::TwoStep { drift, residual } => {
            let cotangent = gradient.second.clone() * residual.scale;
            let (value, product) = vjp(residual, state.first.clone(), cotangent)?;
            let before = known.unwrap_or_else(|| {
                let increment = scaled(value, residual.scale);
                let first = previous(drift, &state.first, state.second, increment);
                State { first, second: state.first }
            });
            let product = gradient.first + product;
            let gradient = match drift {
                Drift::Previous => State { first: gradient.second, second: product },
                Drift::Extrapolated => State {
                    second: product + gradient.second.clone() * 2.0,
                    first: gradient.second.neg(),
                },
            };
            (before, gradient)
        }
        Update::OneStep { residual } => {
            let before = known.ok_or(Error::NoInverse)?;
            let cotangent = gradient.second.clone() * residual.scale;
            let (_, product) = vjp(residual, before.second.clone(), cotangent)?;
            let first = gradient.second.zeros_like();
            // The state after the block, (X_j, X_{j+1}), contains X_j too.
            let second = gradient.first + gradient.second + product;
            (before, State { first, second })
        }
    })
}
