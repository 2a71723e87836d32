//! The operations of a unit.

use super::backward::{backward, scratch_bytes};
use super::block::Direction;
use super::definition::UnitKernel;
use super::parameters::Gradients;
use super::state::StateSlices;
use super::sweep::sweep;
use crate::context::Context;
use crate::error::Error;
use crate::projection::Projection;

impl UnitKernel<'_> {
    /// Replaces the state before the first block, rounded to the grid if the unit has one, by the state after the last.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape, [`Error::NoChannels`] or
    /// [`Error::EmptyImage`] if the shape is empty, and those of
    /// [`check_updates`](crate::recurrence::check_updates).
    pub fn forward(&self, context: &Context, state: StateSlices<'_>) -> Result<(), Error> {
        sweep(self, context, state, Direction::Forward, &mut [])
    }

    /// [`forward`](Self::forward), and the projections of both parts of the state before the first block, for every
    /// image. (They are those of padded images, and only comparable with those of
    /// [`backward_watched`](Self::backward_watched).)
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_watched(
        &self,
        context: &Context,
        state: StateSlices<'_>,
    ) -> Result<Vec<[Projection; 2]>, Error> {
        let mut found = vec![[Projection::default(); 2]; self.images];
        sweep(self, context, state, Direction::Forward, &mut found)?;
        Ok(found)
    }

    /// Replaces the state after the last block by the state before the first.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse(&self, context: &Context, state: StateSlices<'_>) -> Result<(), Error> {
        sweep(self, context, state, Direction::Inverse, &mut [])
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
    pub fn backward(
        &self,
        context: &Context,
        state: StateSlices<'_>,
        gradient: StateSlices<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        backward(self, context, (state, gradient), parameters, &mut [])
    }

    /// Bytes of working memory that [`backward`](Self::backward) takes, beside its arguments, on the threads of `context`.
    /// It depends on whether any of the parameters has an `input_bias`, not on the parameters and updates otherwise.
    ///
    /// # Errors
    /// [`Error::Precision`] if gradients cannot be computed in the precision asked for.
    pub fn scratch_bytes(&self, context: &Context) -> Result<usize, Error> {
        scratch_bytes(self, context)
    }

    /// [`backward`](Self::backward), and the projections of the state that came back.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_watched(
        &self,
        context: &Context,
        state: StateSlices<'_>,
        gradient: StateSlices<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<Vec<[Projection; 2]>, Error> {
        let mut found = vec![[Projection::default(); 2]; self.images];
        backward(self, context, (state, gradient), parameters, &mut found)?;
        Ok(found)
    }
}
