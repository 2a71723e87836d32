//! An algorithm and one thread's memory for it.

use super::direct::Direct;
use crate::algorithm::Algorithm;
use crate::evaluation::{Advance, Cotangent, Evaluation, ParameterGradients, Purpose};
use crate::geometry::Geometry;
use crate::scratch::Arena;
use crate::winograd::Winograd;
use pulp::Simd;

/// Evaluates residuals of one shape by an algorithm.
#[allow(clippy::large_enum_variant, reason = "there is one per thread")]
pub(super) enum Engine<'m> {
    /// F(4×4, 3×3) or F(2×2, 3×3), as the geometry says.
    Winograd(Winograd<'m>),
    Direct(Direct<'m>),
}

impl<'m> Engine<'m> {
    /// For chunks of up to `images` images.
    pub fn new(
        arena: &mut Arena<'m>,
        algorithm: Algorithm,
        geometry: Geometry,
        images: usize,
        purpose: Purpose,
    ) -> Self {
        match algorithm {
            Algorithm::Winograd4 | Algorithm::Winograd2 => {
                Self::Winograd(Winograd::new(arena, geometry, purpose))
            }
            Algorithm::Direct => Self::Direct(Direct::new(arena, geometry, images, purpose)),
        }
    }

    /// Chooses the residual to evaluate, by the convolution M before σ, `[c, c, 3, 3]`, and the bias b,
    /// `[c]`.
    #[inline(always)]
    pub fn set<S: Simd>(&mut self, simd: S, inner: &[f32], bias: &[f32]) {
        match self {
            Self::Winograd(winograd) => winograd.set(simd, inner, bias),
            Self::Direct(direct) => direct.set(inner, bias),
        }
    }

    /// Increments a state by F(x).
    #[inline(always)]
    pub fn value<S: Simd>(&mut self, simd: S, at: Evaluation<'_>, advance: Advance<'_>) {
        match self {
            Self::Winograd(winograd) => winograd.value(simd, at, advance),
            Self::Direct(direct) => direct.value(simd, at, advance),
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
        match self {
            Self::Winograd(winograd) => winograd.vjp(simd, at, cotangent, advance, parameters),
            Self::Direct(direct) => direct.vjp(simd, at, cotangent, advance, parameters),
        }
    }
}
