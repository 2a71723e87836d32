//! The operations of a convolution.

use super::direct;
use super::plan::Plan;
use super::shape::ConvolutionKernel;
use super::square::Square;
use crate::context::Context;
use crate::error::Error;
use crate::layout::{Slot, written};

impl ConvolutionKernel {
    /// y, the convolution of `x`.
    ///
    /// # Errors
    /// As [`output_size`](Self::output_size), and [`Error::Length`] if an array does not fit the shape.
    pub fn value(
        &self,
        context: &Context,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<f32>, Error> {
        let len = self.images * self.plan()?.y_image();
        // SAFETY: unless it returns an error, `write_value` stores all images: a chunk of y holds whole
        // images, and every channel and pixel of a chunk's images is stored (`Store`).
        unsafe { written(len, |y| self.write_value(context, x, weight, bias, y)) }
    }

    /// Sets `y` to the convolution of `x`.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn value_into(
        &self,
        context: &Context,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> Result<(), Error> {
        self.write_value(context, x, weight, bias, y)
    }

    fn write_value<T: Slot>(
        &self,
        context: &Context,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        y: &mut [T],
    ) -> Result<(), Error> {
        let plan = self.plan()?;
        plan.check(x.len(), weight.len(), bias.map(<[f32]>::len), y.len())?;
        context.install(|| match Square::of(self) {
            Some(square) => square.value(context, x, weight, bias, y),
            None => direct::value(context, &plan, x, weight, bias, y),
        });
        Ok(())
    }

    /// Kᵀy: the gradient with respect to x, if `y` is the gradient with respect to y.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn adjoint(&self, context: &Context, y: &[f32], weight: &[f32]) -> Result<Vec<f32>, Error> {
        let len = self.images * self.plan()?.x_image();
        // SAFETY: unless it returns an error, `write_adjoint` stores all images, as in `value`.
        unsafe { written(len, |x| self.write_adjoint(context, y, weight, x)) }
    }

    /// Sets `x` to the [adjoint](Self::adjoint) of `y`.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn adjoint_into(
        &self,
        context: &Context,
        y: &[f32],
        weight: &[f32],
        x: &mut [f32],
    ) -> Result<(), Error> {
        self.write_adjoint(context, y, weight, x)
    }

    fn write_adjoint<T: Slot>(
        &self,
        context: &Context,
        y: &[f32],
        weight: &[f32],
        x: &mut [T],
    ) -> Result<(), Error> {
        let plan = self.plan()?;
        plan.check(x.len(), weight.len(), None, y.len())?;
        context.install(|| match Square::of(self) {
            Some(square) => square.adjoint(context, y, weight, x),
            None => direct::adjoint(context, &plan, y, weight, x),
        });
        Ok(())
    }

    /// Adds to `weight` and `bias` the gradients with respect to w and b, from x and the gradient with
    /// respect to y.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn weight_gradient(
        &self,
        context: &Context,
        x: &[f32],
        y: &[f32],
        weight: &mut [f32],
        bias: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        let plan = self.plan()?;
        plan.check(x.len(), weight.len(), bias.as_ref().map(|b| b.len()), y.len())?;
        context.install(|| match Square::of(self) {
            Some(square) => square.gradient(context, x, y, weight, bias),
            None => direct::gradient(context, &plan, x, y, weight, bias),
        });
        Ok(())
    }

    /// Bytes of working memory that [`weight_gradient`](Self::weight_gradient) takes, beside its arguments, on the threads
    /// of `context`. The other operations take less.
    ///
    /// # Errors
    /// As [`output_size`](Self::output_size).
    pub fn scratch_bytes(&self, context: &Context) -> Result<usize, Error> {
        let plan = self.plan()?;
        Ok(match Square::of(self) {
            Some(square) => square.scratch_bytes(context, self.images),
            None => direct::scratch_bytes(context, &plan),
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan::new(*self, self.output_size()?))
    }
}
