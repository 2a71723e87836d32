//! The operations of a unit, on states of either kind of number.

use super::backward::backward;
use super::block::Direction;
use super::definition::UnitKernel;
use super::parameters::Gradients;
use super::state::StateSlices;
use super::sweep::sweep;
use crate::context::Context;
use crate::element::Element;
use crate::error::Error;
use crate::fixed::Fixed;

impl UnitKernel<'_> {
    /// Replaces the state before the first block by the state after the last.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape, [`Error::NoChannels`] or
    /// [`Error::EmptyImage`] if the shape is empty, and those of
    /// [`check_updates`](crate::recurrence::check_updates).
    pub fn forward<N: Number>(
        &self,
        context: &Context,
        state: StateSlices<'_, N>,
    ) -> Result<(), Error> {
        N::sweep(self, context, state, Direction::Forward)
    }

    /// Replaces the state after the last block by the state before the first.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse<N: Number>(
        &self,
        context: &Context,
        state: StateSlices<'_, N>,
    ) -> Result<(), Error> {
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
        state: StateSlices<'_, N>,
        gradient: StateSlices<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        N::backward(self, context, state, gradient, parameters)
    }
}

/// The kind of number that a state consists of: `f32`, or [`Fixed`], whose sums are exact. No other type
/// can implement it.
///
/// Residuals and gradients are in f32 in either case.
pub trait Number: Element {
    /// The number nearest to `value`.
    #[inline(always)]
    fn nearest(value: f32) -> Self {
        Self::from_f32(value)
    }

    /// The f32 nearest to the number.
    #[inline(always)]
    fn value(self) -> f32 {
        self.to_f32()
    }

    /// [`UnitKernel::forward`] or [`UnitKernel::inverse`]. (A method of the trait, so that it is compiled with this
    /// crate for f32, and not with every crate that calls it.)
    #[doc(hidden)]
    fn sweep(
        unit: &UnitKernel<'_>,
        context: &Context,
        state: StateSlices<'_, Self>,
        direction: Direction,
    ) -> Result<(), Error>;

    /// [`UnitKernel::backward`].
    #[doc(hidden)]
    fn backward(
        unit: &UnitKernel<'_>,
        context: &Context,
        state: StateSlices<'_, Self>,
        gradient: StateSlices<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error>;
}

impl Number for f32 {
    fn sweep(
        unit: &UnitKernel<'_>,
        context: &Context,
        state: StateSlices<'_>,
        direction: Direction,
    ) -> Result<(), Error> {
        sweep(unit, context, state, direction)
    }

    fn backward(
        unit: &UnitKernel<'_>,
        context: &Context,
        state: StateSlices<'_>,
        gradient: StateSlices<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        backward(unit, context, state, gradient, parameters)
    }
}

impl<const FRACTION: u32> Number for Fixed<FRACTION> {
    fn sweep(
        unit: &UnitKernel<'_>,
        context: &Context,
        state: StateSlices<'_, Self>,
        direction: Direction,
    ) -> Result<(), Error> {
        sweep(unit, context, state, direction)
    }

    fn backward(
        unit: &UnitKernel<'_>,
        context: &Context,
        state: StateSlices<'_, Self>,
        gradient: StateSlices<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        backward(unit, context, state, gradient, parameters)
    }
}
