//! A unit's last state, which shares its memory with the unit's output.

use crate::scheme::{Scheme, State, Streams, sweep};
use burn::tensor::Tensor;

/// What the reversible mode keeps of a unit.
pub(super) struct LastState {
    pub output: Tensor<4>,
    /// X_{N−1} if the scheme has one state. With two streams, the output holds the whole state.
    pub previous: Option<Tensor<4>>,
}

impl LastState {
    pub fn new(scheme: &dyn Scheme, last: State) -> Self {
        match scheme.streams() {
            Streams::Two => Self { output: sweep::close(scheme, last), previous: None },
            Streams::One => Self { output: last.second, previous: Some(last.first) },
        }
    }

    pub fn into_state(self, scheme: &dyn Scheme) -> State {
        match self.previous {
            Some(first) => State { first, second: self.output },
            None => sweep::open(scheme, self.output),
        }
    }
}
