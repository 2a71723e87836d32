//! What evaluates residuals of one shape: an algorithm with its memory.

use crate::algorithm::Algorithm;
use crate::direct::Direct;
use crate::evaluation::{Advance, Cotangent, Evaluation, ParameterSlopes, Purpose};
use crate::geometry::Geometry;
use crate::number::Number;
use crate::winograd::Winograd;
use pulp::Simd;

/// An algorithm with one thread's memory for it.
pub(crate) enum Engine {
    /// F(4×4, 3×3) or F(2×2, 3×3), as the geometry says.
    Winograd(Box<Winograd>),
    Direct(Box<Direct>),
}

impl Engine {
    /// For chunks of up to `images` images.
    pub fn new(algorithm: Algorithm, geometry: Geometry, images: usize, purpose: Purpose) -> Self {
        match algorithm {
            Algorithm::Winograd4 | Algorithm::Winograd2 => {
                Self::Winograd(Box::new(Winograd::new(geometry, purpose)))
            }
            Algorithm::Direct => Self::Direct(Box::new(Direct::new(geometry, images, purpose))),
        }
    }

    /// Makes the convolution before σ `[c, c, 3, 3]` and the bias `[c]` the ones that are evaluated.
    #[inline(always)]
    pub fn set<S: Simd>(&mut self, simd: S, kernel: &[f32], bias: &[f32]) {
        match self {
            Self::Winograd(winograd) => winograd.set(simd, kernel, bias),
            Self::Direct(direct) => direct.set(kernel, bias),
        }
    }

    /// Updates a state with F(x).
    #[inline(always)]
    pub fn value<S: Simd, N: Number>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        advance: Advance<'_, N>,
    ) {
        match self {
            Self::Winograd(winograd) => winograd.value(simd, at, advance),
            Self::Direct(direct) => direct.value(simd, at, advance),
        }
    }

    /// Updates a state with F(x) and the cotangent's slope with s·Jᵀv, with one evaluation of F; sets
    /// the gradients of s·⟨v, F(x)⟩ with respect to the parameters.
    #[inline(always)]
    pub fn pull_back<S: Simd, N: Number>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        cotangent: Cotangent<'_>,
        advance: Advance<'_, N>,
        parameters: ParameterSlopes<'_>,
    ) {
        match self {
            Self::Winograd(winograd) => {
                winograd.pull_back(simd, at, cotangent, advance, parameters)
            }
            Self::Direct(direct) => direct.pull_back(simd, at, cotangent, advance, parameters),
        }
    }
}
