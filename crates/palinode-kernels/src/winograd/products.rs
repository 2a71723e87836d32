//! The products of a pull-back: the state's in f32, the gradients' as [`Precision`] says.

use super::gemm::{AddOuter, Multiply};
#[cfg(target_arch = "x86_64")]
use super::rounded::{Bf16, Rounded};
use super::tile::Points;
use super::weights::Weights;
use crate::precision::Precision;
use pulp::Simd;

/// Factors at the points of a strip, and where products go.
pub(super) type Side<'a> = (&'a [f32], &'a mut [f32]);

/// Which of a kernel's matrices.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// U.
    Forward,
    /// Uᵀ.
    Adjoint,
}

/// How the products for gradients are taken, and one thread's memory for it.
pub(super) enum Products {
    /// As the state's.
    F32,
    /// Of rounded factors.
    #[cfg(target_arch = "x86_64")]
    Bf16(Box<Rounded>),
}

impl Products {
    /// For strips whose points are `at`; f32's where the machine has no others.
    pub fn new(precision: Precision, at: Points) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 => {
                Bf16::new().map_or(Self::F32, |bf16| Self::Bf16(Box::new(Rounded::new(bf16, at))))
            }
            #[cfg(not(target_arch = "x86_64"))]
            Precision::Bf16 => Self::F32,
        }
    }

    /// Makes a kernel the one that is multiplied with.
    pub fn set(&mut self, weights: &Weights, at: Points) {
        match self {
            Self::F32 => {}
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(rounded) => rounded.set(weights, at),
        }
    }

    /// A state's points, in f32, and a gradient's times a kernel's matrices.
    #[inline(always)]
    pub fn multiply_both<S: Simd>(
        &mut self,
        simd: S,
        (at, tiles): (Points, usize),
        state: Side<'_>,
        gradient: Side<'_>,
        weights: &Weights,
        way: Way,
    ) {
        let u = weights.matrices(way);
        match self {
            Self::F32 => simd.vectorize(Multiply { at, tiles, sides: [state, gradient], u }),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(rounded) => {
                simd.vectorize(Multiply { at, tiles, sides: [state], u });
                rounded.multiply(at, tiles, gradient, way);
            }
        }
    }

    /// A gradient's points times a kernel's matrices.
    #[inline(always)]
    pub fn multiply<S: Simd>(
        &mut self,
        simd: S,
        (at, tiles): (Points, usize),
        gradient: Side<'_>,
        weights: &Weights,
        way: Way,
    ) {
        match self {
            Self::F32 => {
                let u = weights.matrices(way);
                simd.vectorize(Multiply { at, tiles, sides: [gradient], u });
            }
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(rounded) => rounded.multiply(at, tiles, gradient, way),
        }
    }

    /// [`AddOuter`].
    #[inline(always)]
    pub fn add_outer<S: Simd, const P: usize>(
        &mut self,
        simd: S,
        (at, tiles): (Points, usize),
        pairs: [(&[f32], &[f32]); P],
        out: &mut [f32],
    ) {
        match self {
            Self::F32 => simd.vectorize(AddOuter { at, tiles, pairs, out }),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(rounded) => rounded.add_outer(at, tiles, pairs, out),
        }
    }
}

/// Whether this machine can take products of factors in bf16.
pub(crate) fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Bf16::new().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether they are taken on AMX's tiles.
pub(super) fn has_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(Bf16::new(), Some(Bf16::Tiles(_)));
    #[cfg(not(target_arch = "x86_64"))]
    false
}
