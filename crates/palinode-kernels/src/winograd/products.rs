//! The products of a pull-back: the state's in f32, the gradients' as [`Purpose`](crate::evaluation::Purpose) says.

use super::gemm::{AddOuter, Multiply};
#[cfg(target_arch = "x86_64")]
use super::rounded::Rounded;
use super::tile::Points;
use super::weights::Weights;
use crate::token::Bf16;
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
    /// For strips whose points are `at`; with a token, of factors rounded to bf16.
    pub fn new(bf16: Option<Bf16>, at: Points) -> Self {
        match bf16 {
            None => Self::F32,
            #[cfg(target_arch = "x86_64")]
            Some(bf16) => Self::Bf16(Box::new(Rounded::new(bf16, at))),
            #[cfg(not(target_arch = "x86_64"))]
            Some(bf16) => match bf16 {},
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
