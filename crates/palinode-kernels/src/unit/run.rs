//! The three operations of a unit.

use super::block::Direction;
use super::definition::Unit;
use super::number::Number;
use super::parameters::Gradients;
use super::state::State;
use crate::context::Context;
use crate::error::Error;

impl Unit<'_> {
    /// Replaces the state before the first block by the state after the last.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape, [`Error::NoChannels`] or
    /// [`Error::EmptyImage`] if the shape is empty, and those of
    /// [`check_updates`](crate::recurrence::check_updates).
    pub fn forward<N: Number>(&self, context: &Context, state: State<'_, N>) -> Result<(), Error> {
        N::sweep(self, context, state, Direction::Forward)
    }

    /// Replaces the state after the last block by the state before the first.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse<N: Number>(&self, context: &Context, state: State<'_, N>) -> Result<(), Error> {
        N::sweep(self, context, state, Direction::Inverse)
    }

    /// Replaces the state after the last block, and the gradient with respect to it, by the state before
    /// the first block, reconstructed, and the gradient with respect to that. Adds the gradients with
    /// respect to the parameters to `parameters`, which has one element for every residual.
    ///
    /// Reconstruction and gradients share one evaluation of every residual.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Precision`] if gradients cannot be computed in the
    /// precision asked for.
    pub fn backward<N: Number>(
        &self,
        context: &Context,
        state: State<'_, N>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        N::backward(self, context, state, gradient, parameters)
    }
}
