//! What the two kinds of residuals have in common.

use super::rows::AddUp;
use super::strip::Workspace;
use super::weights::Weights;
use crate::evaluation::{Advance, Evaluation, Increment};
use crate::geometry::Geometry;
use crate::register::first;
use pulp::Simd;
use std::ops::Range;

/// A residual whose weights are set.
#[derive(Clone, Copy)]
pub(super) struct Residual<'a> {
    pub at: Evaluation<'a>,
    pub geometry: &'a Geometry,
    pub weights: &'a Weights<'a>,
}

impl Residual<'_> {
    /// b of one vector of channels.
    #[inline(always)]
    pub fn bias<S: Simd>(self, channel: usize) -> S::f32s {
        first::<S>(&self.weights.bias[channel..])
    }
}

/// Where s·Jᵀv goes.
pub(super) struct InputGradient<'a> {
    /// s.
    pub scale: f32,
    /// It is added to these padded images.
    pub gradient: &'a mut [f32],
    /// Whether its sums per channel are needed too, for the gradient with respect to a.
    pub has_totals: bool,
}

impl InputGradient<'_> {
    /// Adds what a strip of tiles contributes: Mᵀδ, whose points lie in `w.cotangent`.
    #[inline(always)]
    pub fn add_strip<S: Simd, const M: usize, const P: usize>(
        &mut self,
        simd: S,
        of: Residual<'_>,
        w: &mut Workspace<'_>,
        rows: Range<usize>,
    ) {
        let (geometry, at, x) = (of.geometry, w.points, of.at.x);
        let (points, sum) = (&*w.cotangent, &mut *w.gradient_rows);
        let totals = if self.has_totals { &mut *w.input_bias } else { &mut [] };
        let advance = Advance { increment: Increment::plain(self.scale), x, state: self.gradient };
        simd.vectorize(AddUp::<M, P> { geometry, rows, points, at, sum, advance, totals });
    }
}
