//! What a residual's value does to the state.

use crate::number::Number;

/// What a value f of the residual does to the state at the same pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// state ← state + s·f.
    Add(f32),
    /// state ← x + ((x − state) + s·f), x being where the residual was evaluated.
    Extrapolate(f32),
}

/// A state that a residual's values update; padded images.
pub(crate) struct Advance<'a, N> {
    pub update: Update,
    /// The state x at which the residual is evaluated.
    pub x: &'a [N],
    pub state: &'a mut [N],
}

impl<N: Number> Advance<'_, N> {
    /// The same for a while.
    pub fn reborrow(&mut self) -> Advance<'_, N> {
        Advance { update: self.update, x: self.x, state: self.state }
    }
}
