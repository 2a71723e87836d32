//! One block of any scheme: forwards, backwards, and backwards with gradients.
//!
//! The residuals are handed in as functions, so the same few lines serve plain evaluation, a
//! recorded autodiff graph and local vector–Jacobian products.

use super::{Drift, Scheme, State, Streams, Term, Update};
use burn::tensor::Tensor;

/// The state before the first block: the two halves of `input`'s channels, or (X₋₁, X₀).
pub fn open(scheme: &dyn Scheme, input: Tensor<4>) -> State {
    match scheme.streams() {
        Streams::Two => {
            let mut halves = input.chunk(2, 1).into_iter();
            match (halves.next(), halves.next()) {
                (Some(first), Some(second)) => State { first, second },
                // Networks and units check their widths, so that there are two channels to split.
                _ => unreachable!("a two-stream unit has at least two channels"),
            }
        }
        Streams::One if scheme.starts_at_rest() => State { first: input.clone(), second: input },
        Streams::One => State { first: input.zeros_like(), second: input },
    }
}

/// The unit's output from the state after the last block: both streams joined, or X_N.
pub fn close(scheme: &dyn Scheme, state: State) -> Tensor<4> {
    match scheme.streams() {
        Streams::Two => Tensor::cat(vec![state.first, state.second], 1),
        Streams::One => state.second,
    }
}

/// The gradient with respect to [`open`]'s input, from that with respect to its result.
pub(crate) fn open_gradient(scheme: &dyn Scheme, gradient: State) -> Tensor<4> {
    match scheme.streams() {
        Streams::Two => Tensor::cat(vec![gradient.first, gradient.second], 1),
        Streams::One if scheme.starts_at_rest() => gradient.first + gradient.second,
        Streams::One => gradient.second,
    }
}

/// The gradient with respect to [`close`]'s argument, from that with respect to its result.
pub(crate) fn close_gradient(scheme: &dyn Scheme, gradient: Tensor<4>) -> State {
    match scheme.streams() {
        Streams::Two => open(scheme, gradient),
        Streams::One => State { first: gradient.zeros_like(), second: gradient },
    }
}

/// The state after a block; `value` evaluates a residual: (term, x) ↦ F(x), unscaled.
pub fn step(
    update: Update,
    state: State,
    value: &mut dyn FnMut(Term, Tensor<4>) -> Tensor<4>,
) -> State {
    match update {
        Update::TwoStream { first, second } => {
            let y = state.first + value(first, state.second.clone()) * first.scale;
            let z = state.second + value(second, y.clone()) * second.scale;
            State { first: y, second: z }
        }
        Update::TwoStep { drift, residual } => {
            let increment = value(residual, state.second.clone()) * residual.scale;
            let next = match drift {
                Drift::Previous => state.first + increment,
                Drift::Extrapolated => extrapolated(&state.second, state.first, increment),
            };
            State { first: state.second, second: next }
        }
        Update::OneStep { residual } => {
            let next =
                state.second.clone() + value(residual, state.second.clone()) * residual.scale;
            State { first: state.second, second: next }
        }
    }
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

/// The state before a block, from the state after it; `None` where the block cannot be undone.
pub fn unstep(
    update: Update,
    state: State,
    value: &mut dyn FnMut(Term, Tensor<4>) -> Tensor<4>,
) -> Option<State> {
    match update {
        Update::TwoStream { first, second } => {
            let z = state.second - value(second, state.first.clone()) * second.scale;
            let y = state.first - value(first, z.clone()) * first.scale;
            Some(State { first: y, second: z })
        }
        Update::TwoStep { drift, residual } => {
            let increment = value(residual, state.first.clone()) * residual.scale;
            let before = previous(drift, &state.first, state.second, increment);
            Some(State { first: before, second: state.first })
        }
        Update::OneStep { .. } => None,
    }
}

/// The state before a block and the gradient with respect to it, from the state after it and the
/// gradient with respect to that.
///
/// `pull_back` maps (term, x, v) to (F(x), Jᵀv) with the unscaled residual, and collects the
/// parameters' gradients on the way: one evaluation of F serves reconstruction and gradient.
/// Where the state before the block was stored, it is `known` and nothing is reconstructed; `None`
/// where it was not and the block cannot be undone.
pub fn unstep_with_gradient(
    update: Update,
    state: State,
    known: Option<State>,
    gradient: State,
    pull_back: &mut dyn FnMut(Term, Tensor<4>, Tensor<4>) -> (Tensor<4>, Tensor<4>),
) -> Option<(State, State)> {
    let before = match update {
        Update::TwoStream { first, second } => {
            let cotangent = gradient.second.clone() * second.scale;
            let (value, pulled) = pull_back(second, state.first.clone(), cotangent);
            let (known_y, known_z) = known.map(|known| (known.first, known.second)).unzip();
            let z = known_z.unwrap_or_else(|| state.second - value * second.scale);
            let gradient_y = gradient.first + pulled;

            let cotangent = gradient_y.clone() * first.scale;
            let (value, pulled) = pull_back(first, z.clone(), cotangent);
            let y = known_y.unwrap_or_else(|| state.first - value * first.scale);
            let gradient_z = gradient.second + pulled;
            (State { first: y, second: z }, State { first: gradient_y, second: gradient_z })
        }
        Update::TwoStep { drift, residual } => {
            let cotangent = gradient.second.clone() * residual.scale;
            let (value, pulled) = pull_back(residual, state.first.clone(), cotangent);
            let before = known.unwrap_or_else(|| {
                let increment = value * residual.scale;
                let first = previous(drift, &state.first, state.second, increment);
                State { first, second: state.first }
            });
            let pulled = gradient.first + pulled;
            let gradient = match drift {
                Drift::Previous => State { first: gradient.second, second: pulled },
                Drift::Extrapolated => State {
                    second: pulled + gradient.second.clone() * 2.0,
                    first: gradient.second.neg(),
                },
            };
            (before, gradient)
        }
        Update::OneStep { residual } => {
            let before = known?;
            let cotangent = gradient.second.clone() * residual.scale;
            let (_, pulled) = pull_back(residual, before.second.clone(), cotangent);
            let first = gradient.second.zeros_like();
            // The state after it holds X_j too, as what came before X_{j+1}.
            let second = gradient.first + gradient.second + pulled;
            (before, State { first, second })
        }
    };
    Some(before)
}
