//! The state of a unit, and what a block does to it.

use super::runge_kutta::RungeKutta;
use burn::tensor::Tensor;
use palinode_kernels::recurrence;
pub use palinode_kernels::recurrence::{Drift, Role, Term};
use std::fmt::Debug;

/// The state of a unit between two blocks: (Y, Z) for two streams, (X_{j−1}, X_j) for one state.
///
/// Gradients with respect to a state have the same form.
#[derive(Clone, Debug)]
pub struct State {
    /// Y or X_{j−1}: `[n, c, h, w]`.
    pub first: Tensor<4>,
    /// Z or X_j: `[n, c, h, w]`.
    pub second: Tensor<4>,
}

impl State {
    /// Both tensors, concatenated along the channels.
    pub fn joined(self) -> Tensor<4> {
        Tensor::cat(vec![self.first, self.second], 1)
    }

    /// The two halves of a tensor's channels.
    pub fn split(joined: Tensor<4>) -> Self {
        let channels = joined.dims()[1];
        let half = channels / 2;
        let first = joined.clone().narrow(1, 0, half);
        Self { first, second: joined.narrow(1, half, channels - half) }
    }

    /// The same with its tensors exchanged.
    pub(super) fn swapped(self) -> Self {
        Self { first: self.second, second: self.first }
    }
}

/// How a unit holds its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// The input is split in two halves (Y, Z) of its channels; the output joins them again.
    Two,
    /// The input is X₀, and the output is X_N. The state is (X_{j−1}, X_j), or another pair that begins as (X₀, X₀).
    One,
}

/// One of the two tensors of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Y or X_{j−1}.
    First,
    /// Z or X_j.
    Second,
}

/// f·Ψ_s(x), where Ψ_s is the increment of a Runge–Kutta method and s the scale of a term: ±h for a step forwards or
/// backwards in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Increment {
    /// Ψ.
    pub method: RungeKutta,
    /// s·F.
    pub term: Term,
    /// f, 1 or −1.
    pub factor: f64,
}

/// What a block, or a stage of one, does to the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Y⁺ = Y + a·F(Z), then Z⁺ = Z + b·G(Y⁺).
    TwoStream {
        /// a·F.
        first: Term,
        /// b·G.
        second: Term,
    },
    /// X_{j+1} = X_{j−1} + s·F(X_j), or X_{j+1} = 2X_j − X_{j−1} + s·F(X_j).
    TwoStep {
        /// Which of the two.
        drift: Drift,
        /// s·F.
        residual: Term,
    },
    /// X_{j+1} = a·X_j − b·X_{j−1} + s·F(X_j) with b ≠ 0. Its inverse divides by b, so it is not exact.
    Damped {
        /// a.
        current: f64,
        /// b.
        previous: f64,
        /// s·F.
        residual: Term,
    },
    /// One tensor A of the state changes, by a function of the other one, B: A⁺ = λA + (1 − λ)B + Ψ(B) with λ ≠ 0. It is
    /// additive for λ = 1.
    Stage {
        /// Which tensor is A.
        changed: Half,
        /// λ.
        kept: f64,
        /// Ψ.
        increment: Increment,
    },
    /// X_{j+1} = X_j + s·F(X_j): the whole state changes at once, and there is no way back.
    OneStep {
        /// s·F.
        residual: Term,
    },
}

impl Update {
    /// The terms of its residuals, in the order of their first evaluation.
    pub fn terms(&self) -> impl Iterator<Item = Term> + use<> {
        let (first, second) = match *self {
            Self::TwoStream { first, second } => (first, Some(second)),
            Self::TwoStep { residual, .. }
            | Self::Damped { residual, .. }
            | Self::OneStep { residual } => (residual, None),
            Self::Stage { increment, .. } => (increment.term, None),
        };
        std::iter::once(first).chain(second)
    }

    /// How many evaluations of residuals it takes.
    pub fn evaluations(&self) -> usize {
        match self {
            Self::TwoStream { .. } => 2,
            Self::TwoStep { .. } | Self::Damped { .. } | Self::OneStep { .. } => 1,
            Self::Stage { increment, .. } => increment.method.stages(),
        }
    }

    /// The same update with other terms.
    pub fn with_terms(self, change: impl Fn(Term) -> Term) -> Self {
        match self {
            Self::TwoStream { first, second } => {
                Self::TwoStream { first: change(first), second: change(second) }
            }
            Self::TwoStep { drift, residual } => {
                Self::TwoStep { drift, residual: change(residual) }
            }
            Self::Damped { current, previous, residual } => {
                Self::Damped { current, previous, residual: change(residual) }
            }
            Self::Stage { changed, kept, increment } => {
                let increment = Increment { term: change(increment.term), ..increment };
                Self::Stage { changed, kept, increment }
            }
            Self::OneStep { residual } => Self::OneStep { residual: change(residual) },
        }
    }

    /// Whether it adds a function of one tensor to the other, so that its inverse is exact on a
    /// [`Grid`](super::Grid).
    pub fn is_additive(&self) -> bool {
        match self {
            Self::TwoStream { .. } | Self::TwoStep { .. } => true,
            Self::Stage { kept, .. } => *kept == 1.0,
            Self::Damped { .. } | Self::OneStep { .. } => false,
        }
    }

    /// The update as the kernels know it; `None` if they do not.
    pub fn for_kernels(self) -> Option<recurrence::Update> {
        match self {
            Self::TwoStream { first, second } => {
                Some(recurrence::Update::TwoStream { first, second })
            }
            Self::TwoStep { drift, residual } => {
                Some(recurrence::Update::TwoStep { drift, residual })
            }
            Self::Damped { .. } | Self::Stage { .. } | Self::OneStep { .. } => None,
        }
    }
}
