//! One residual on a chunk of padded images: its value and its vector–Jacobian product.

use super::rows::AddUp;
use super::strip::Workspace;
use super::weights::{KernelGradient, Weights};
use super::{layer, symmetric};
use crate::evaluation::{Advance, Increment};
use crate::evaluation::{Cotangent, Evaluation, ParameterSlopes};
use crate::form::Form;
use crate::geometry::Geometry;
use crate::number::Number;
use crate::register::load;
use pulp::Simd;
use std::ops::Range;

/// A residual whose weights are set.
#[derive(Clone, Copy)]
pub(super) struct Residual<'a> {
    pub at: Evaluation<'a>,
    pub geometry: &'a Geometry,
    pub weights: &'a Weights,
}

/// Where Jᵀv goes.
pub(super) struct Slope<'a> {
    pub scale: f32,
    /// Added to: scale·Jᵀv, padded images.
    pub slope: &'a mut [f32],
    /// Whether its sums per channel are wanted too.
    pub totals: bool,
}

impl Slope<'_> {
    /// Adds what the strip of tiles at hand contributes: Mᵀδ, whose points lie in `w.cotangent`.
    #[inline(always)]
    pub fn add_strip<S: Simd, const M: usize, const P: usize>(
        &mut self,
        simd: S,
        of: Residual<'_>,
        w: &mut Workspace,
        rows: Range<usize>,
    ) {
        let (geometry, at, x) = (of.geometry, w.points, of.at.x);
        let (points, sum) = (&*w.cotangent, &mut w.pulled);
        let totals = if self.totals { &mut *w.input_bias } else { &mut [] };
        let into = Advance { increment: Increment::Add(self.scale), x, state: self.slope };
        simd.vectorize(AddUp::<f32, M, P> { geometry, rows, points, at, sum, into, totals });
    }
}

impl Residual<'_> {
    /// See [`Engine::value`](crate::engine::Engine::value).
    #[inline(always)]
    pub fn value<S: Simd, N: Number, const M: usize, const P: usize>(
        self,
        simd: S,
        w: &mut Workspace,
        advance: Advance<'_, N>,
    ) {
        match self.at.form {
            Form::Symmetric => symmetric::value::<S, N, M, P>(simd, self, w, advance),
            Form::Layer | Form::Antisymmetric => {
                layer::value::<S, N, M, P>(simd, self, w, advance);
            }
        }
    }

    /// See [`Engine::pull_back`](crate::engine::Engine::pull_back).
    #[inline(always)]
    pub fn pull_back<S: Simd, N: Number, const M: usize, const P: usize>(
        self,
        simd: S,
        w: &mut Workspace,
        Cotangent { v, scale, slope }: Cotangent<'_>,
        advance: Advance<'_, N>,
        parameters: ParameterSlopes<'_>,
    ) {
        w.clear_sums();
        w.products.set(self.weights, w.points);
        let slope = Slope { scale, slope, totals: !parameters.input_bias.is_empty() };
        match self.at.form {
            Form::Symmetric => {
                symmetric::pull_back::<S, N, M, P>(simd, self, w, v, advance, slope);
            }
            Form::Layer | Form::Antisymmetric => {
                layer::pull_back::<S, N, M, P>(simd, self, w, v, advance, slope);
            }
        }
        let (geometry, points, gradient) = (self.geometry, &*w.kernel_points, parameters.inner);
        simd.vectorize(KernelGradient::<P> { geometry, points, scale, gradient });
        w.vector_gradients(scale, parameters.bias, parameters.input_bias);
    }

    /// b of one vector of channels.
    #[inline(always)]
    pub(super) fn bias<S: Simd>(self, channel: usize) -> S::f32s {
        assert!(channel + S::F32_LANES <= self.weights.bias.len());
        // SAFETY: the assertion above.
        unsafe { load::<S>(self.weights.bias.as_ptr().add(channel)) }
    }
}
