//! One block of any scheme: forward, inverse, and inverse with gradients.
//!
//! The residuals are passed as functions, so the same code works for plain evaluation, a recorded
//! autodiff graph and local vector–Jacobian products.
//!
//! If the state lies on a [`Grid`], increments are rounded to it, and the inverse is exact.

use super::definition::Scheme;
use super::evaluation::{Evaluate, Evaluation};
use super::grid::{Grid, rounded};
use super::update::{Drift, Half, State, Streams, Term, Update};
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

/// A block of a scheme, with the grid of its states.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The scheme.
    pub scheme: &'a dyn Scheme,
    /// Which block, from 0.
    pub block: usize,
    /// The grid.
    pub grid: Option<Grid>,
}

impl Block<'_> {
    /// The updates with the numbers of their first evaluations.
    pub(super) fn numbered(self) -> Vec<(Update, usize)> {
        let mut stage = 0;
        let number = |update: Update| {
            let first = stage;
            stage += update.evaluations();
            (update, first)
        };
        self.scheme.updates(self.block).into_iter().map(number).collect()
    }

    /// s·F, on the grid.
    pub(super) fn scaled(self, value: Tensor<4>, scale: f64) -> Tensor<4> {
        rounded(value * scale, self.grid)
    }

    /// The state after the block.
    ///
    /// # Errors
    /// Any error of `value`.
    pub fn step(self, state: State, value: &mut Evaluate<'_>) -> Result<State> {
        self.numbered()
            .into_iter()
            .try_fold(state, |state, (update, stage)| self.update(update, stage, state, value))
    }

    /// The state before the block, from the state after it.
    ///
    /// # Errors
    /// [`Error::NoInverse`] if an update has no inverse, and any error of `value`.
    pub fn unstep(self, state: State, value: &mut Evaluate<'_>) -> Result<State> {
        self.numbered()
            .into_iter()
            .rev()
            .try_fold(state, |state, (update, stage)| self.undo(update, stage, state, value))
    }

    fn update(
        self,
        update: Update,
        stage: usize,
        state: State,
        value: &mut Evaluate<'_>,
    ) -> Result<State> {
        let of = |term: Term, more: usize| Evaluation::of(term, stage + more);
        Ok(match update {
            Update::TwoStream { first, second } => {
                let increment = value(of(first, 0), state.second.clone())?;
                let y = state.first + self.scaled(increment, first.scale);
                let increment = value(of(second, 1), y.clone())?;
                let z = state.second + self.scaled(increment, second.scale);
                State { first: y, second: z }
            }
            Update::TwoStep { drift, residual } => {
                let increment = value(of(residual, 0), state.second.clone())?;
                let increment = self.scaled(increment, residual.scale);
                let next = match drift {
                    Drift::Previous => state.first + increment,
                    Drift::Extrapolated => extrapolated(&state.second, state.first, increment),
                };
                State { first: state.second, second: next }
            }
            Update::Damped { current, previous, residual } => {
                let increment = value(of(residual, 0), state.second.clone())? * residual.scale;
                let next = state.second.clone() * current - state.first * previous + increment;
                State { first: state.second, second: next }
            }
            Update::Stage { changed, kept, increment } => {
                let State { first: a, second: b } = by_half(changed, state);
                let added = increment.value(b.clone(), stage, value)?;
                let a = blended(a, &b, kept) + rounded(added, self.grid);
                by_half(changed, State { first: a, second: b })
            }
            Update::OneStep { residual } => {
                let increment = value(of(residual, 0), state.second.clone())? * residual.scale;
                let next = state.second.clone() + increment;
                State { first: state.second, second: next }
            }
        })
    }

    fn undo(
        self,
        update: Update,
        stage: usize,
        state: State,
        value: &mut Evaluate<'_>,
    ) -> Result<State> {
        let of = |term: Term, more: usize| Evaluation::of(term, stage + more);
        match update {
            Update::TwoStream { first, second } => {
                let increment = value(of(second, 1), state.first.clone())?;
                let z = state.second - self.scaled(increment, second.scale);
                let increment = value(of(first, 0), z.clone())?;
                let y = state.first - self.scaled(increment, first.scale);
                Ok(State { first: y, second: z })
            }
            Update::TwoStep { drift, residual } => {
                let increment = value(of(residual, 0), state.first.clone())?;
                let increment = self.scaled(increment, residual.scale);
                let before = previous(drift, &state.first, state.second, increment);
                Ok(State { first: before, second: state.first })
            }
            Update::Damped { current, previous, residual } => {
                let increment = value(of(residual, 0), state.first.clone())? * residual.scale;
                let before = undamped((current, previous), &state.first, state.second, increment);
                Ok(State { first: before, second: state.first })
            }
            Update::Stage { changed, kept, increment } => {
                let State { first: a, second: b } = by_half(changed, state);
                let added = rounded(increment.value(b.clone(), stage, value)?, self.grid);
                let a = unblended(a - added, &b, kept);
                Ok(by_half(changed, State { first: a, second: b }))
            }
            Update::OneStep { .. } => Err(Error::NoInverse),
        }
    }
}

/// The state with the changed half first. Its own inverse.
pub(super) fn by_half(changed: Half, state: State) -> State {
    match changed {
        Half::First => state,
        Half::Second => state.swapped(),
    }
}

/// λa + (1 − λ)b.
fn blended(a: Tensor<4>, b: &Tensor<4>, kept: f64) -> Tensor<4> {
    if kept == 1.0 {
        return a;
    }
    a * kept + b.clone() * (1.0 - kept)
}

/// a from λa + (1 − λ)b.
pub(super) fn unblended(blend: Tensor<4>, b: &Tensor<4>, kept: f64) -> Tensor<4> {
    if kept == 1.0 {
        return blend;
    }
    (blend - b.clone() * (1.0 - kept)) / kept
}

/// 2X − X′ + increment as X + ((X − X′) + increment): neighbouring states are close, so their
/// difference is (nearly) exact and only the last sum rounds.
fn extrapolated(current: &Tensor<4>, other: Tensor<4>, increment: Tensor<4>) -> Tensor<4> {
    current.clone() + ((current.clone() - other) + increment)
}

/// X_{j−1} from X_j, X_{j+1} and s·F(X_j).
pub(super) fn previous(
    drift: Drift,
    current: &Tensor<4>,
    next: Tensor<4>,
    increment: Tensor<4>,
) -> Tensor<4> {
    match drift {
        Drift::Previous => next - increment,
        Drift::Extrapolated => extrapolated(current, next, increment),
    }
}

/// X_{j−1} from X_{j+1} = a·X_j − b·X_{j−1} + increment.
pub(super) fn undamped(
    (a, b): (f64, f64),
    current: &Tensor<4>,
    next: Tensor<4>,
    increment: Tensor<4>,
) -> Tensor<4> {
    (current.clone() * a + increment - next) / b
}
