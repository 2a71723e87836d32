//! Residuals by a Winograd algorithm.

use super::residual::{InputGradient, Residual};
use super::strip::Workspace;
use super::weights::{KernelGradient, SetWeights, Weights};
use super::{layer, symmetric};
use crate::evaluation::{Advance, Cotangent, Evaluation, ParameterGradients, Purpose};
use crate::form::Form;
use crate::geometry::Geometry;
use crate::scratch::Arena;
use pulp::Simd;

/// A Winograd algorithm with one thread's memory for it.
pub(crate) struct Winograd<'m> {
    geometry: Geometry,
    weights: Weights<'m>,
    workspace: Workspace<'m>,
}

impl<'m> Winograd<'m> {
    /// The tiles of the geometry have 4 or 2 rows.
    pub fn new(arena: &mut Arena<'m>, geometry: Geometry, purpose: Purpose) -> Self {
        let weights = Weights::both(arena, &geometry);
        let workspace = Workspace::new(arena, &geometry, purpose);
        Self { geometry, weights, workspace }
    }

    /// Chooses the residual to evaluate, by the convolution before σ, `[c, c, 3, 3]`, and the bias, `[c]`.
    #[inline(always)]
    pub fn set<S: Simd>(&mut self, simd: S, kernel: &[f32], bias: &[f32]) {
        let Self { geometry, weights, .. } = self;
        simd.vectorize(SetWeights { geometry, kernel, bias: Some(bias), weights });
    }

    /// Increments a state by F(x).
    #[inline(always)]
    pub fn value<S: Simd>(&mut self, simd: S, at: Evaluation<'_>, advance: Advance<'_>) {
        match self.geometry.tile {
            4 => self.value_sized::<S, 4, 6>(simd, at, advance),
            _ => self.value_sized::<S, 2, 4>(simd, at, advance),
        }
    }

    #[inline(always)]
    fn value_sized<S: Simd, const M: usize, const P: usize>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        advance: Advance<'_>,
    ) {
        let Self { geometry, weights, workspace } = self;
        let of = Residual { at, geometry, weights };
        match at.form {
            Form::Symmetric => symmetric::value::<S, M, P>(simd, of, workspace, advance),
            Form::Layer | Form::Antisymmetric => {
                layer::value::<S, M, P>(simd, of, workspace, advance);
            }
        }
    }

    /// Increments a state by F(x), with the same evaluation of F adds s·Jᵀv to the cotangent's gradient,
    /// and sets the gradients of s·⟨v, F(x)⟩ with respect to the parameters.
    #[inline(always)]
    pub fn vjp<S: Simd>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        cotangent: Cotangent<'_>,
        advance: Advance<'_>,
        parameters: ParameterGradients<'_>,
    ) {
        match self.geometry.tile {
            4 => self.vjp_sized::<S, 4, 6>(simd, at, cotangent, advance, parameters),
            _ => self.vjp_sized::<S, 2, 4>(simd, at, cotangent, advance, parameters),
        }
    }

    #[inline(always)]
    fn vjp_sized<S: Simd, const M: usize, const P: usize>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        Cotangent { v, scale, gradient }: Cotangent<'_>,
        advance: Advance<'_>,
        parameters: ParameterGradients<'_>,
    ) {
        let Self { geometry, weights, workspace: w } = self;
        w.clear_sums();
        w.products.set(weights, w.points);
        let of = Residual { at, geometry, weights };
        let has_totals = !parameters.input_bias.is_empty();
        let into = InputGradient { scale, gradient, has_totals };
        match at.form {
            Form::Symmetric => symmetric::vjp::<S, M, P>(simd, of, w, v, advance, into),
            Form::Layer | Form::Antisymmetric => {
                layer::vjp::<S, M, P>(simd, of, w, v, advance, into);
            }
        }
        let (points, gradient) = (&*w.kernel_points, parameters.inner);
        simd.vectorize(KernelGradient::<P> { geometry, points, scale, gradient });
        w.vector_gradients(scale, parameters.bias, parameters.input_bias);
    }
}
