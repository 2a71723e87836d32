//! What evaluates residuals of one shape: an algorithm with its memory.

use crate::direct::Direct;
use crate::geometry::Geometry;
use crate::number::Number;
use crate::update::Advance;
use crate::winograd::Winograd;
use crate::{Activation, Algorithm, Form, Precision};
use pulp::Simd;

/// An algorithm with one thread's memory for it.
pub(crate) enum Engine {
    /// F(4×4, 3×3) or F(2×2, 3×3), as the geometry says.
    Winograd(Box<Winograd>),
    Direct(Box<Direct>),
}

/// A residual, and where it is evaluated: padded images with zero padding.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<'a> {
    pub form: Form,
    pub activation: Activation,
    /// Images of the chunk.
    pub images: usize,
    /// The state x, or x + a where there is an a.
    pub x: &'a [f32],
}

/// v, and where Jᵀv goes; padded images.
pub(crate) struct Cotangent<'a> {
    pub v: &'a [f32],
    pub scale: f32,
    /// Added to: scale·Jᵀv.
    pub slope: &'a mut [f32],
}

/// The gradients that a pull-back sets, without padding.
pub(crate) struct ParameterSlopes<'a> {
    /// Of the convolution before σ, `[c, c, 3, 3]`; of K, where that is K.
    pub inner: &'a mut [f32],
    /// `[c]`.
    pub bias: &'a mut [f32],
    /// `[c]`, or empty where there is no a.
    pub input_bias: &'a mut [f32],
}

impl Engine {
    /// For values of chunks of `images` images, or for gradients too, whose products are as `gradients`
    /// says.
    pub fn new(
        algorithm: Algorithm,
        geometry: Geometry,
        images: usize,
        gradients: Option<Precision>,
    ) -> Self {
        match algorithm {
            Algorithm::Winograd4 | Algorithm::Winograd2 => {
                Self::Winograd(Box::new(Winograd::new(geometry, gradients)))
            }
            Algorithm::Direct => {
                Self::Direct(Box::new(Direct::new(geometry, images, gradients.is_some())))
            }
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
