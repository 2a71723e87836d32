//! The products of a vector–Jacobian product: those of the state in f32, those of gradients as asked for.

use super::bf16::Rounded;
use super::gemm::{AddOuter, Multiply, Side};
use super::tile::Points;
use super::weights::{Way, Weights};
use crate::scratch::Arena;
use crate::token::Bf16;
use pulp::Simd;

/// How the products for gradients are taken, and one thread's memory for it.
pub(super) enum Products<'m> {
    /// In f32, as those of the state.
    F32,
    /// With rounded factors.
    Bf16(Rounded<'m>),
}

impl<'m> Products<'m> {
    /// For strips whose points are `at`. With a token, factors are rounded to bf16.
    pub fn new(arena: &mut Arena<'m>, bf16: Option<Bf16>, at: Points) -> Self {
        match bf16 {
            None => Self::F32,
            Some(bf16) => Self::Bf16(Rounded::new(arena, bf16, at)),
        }
    }

    /// Chooses the kernel to multiply by.
    pub fn set(&mut self, weights: &Weights<'_>, at: Points) {
        match self {
            Self::F32 => {}
            Self::Bf16(rounded) => rounded.set(weights, at),
        }
    }

    /// Multiplies the points of a state, in f32, and those of a gradient by a kernel's matrices.
    #[inline(always)]
    pub fn multiply_both<S: Simd>(
        &mut self,
        simd: S,
        (at, tiles): (Points, usize),
        state: Side<'_>,
        gradient: Side<'_>,
        weights: &Weights<'_>,
        way: Way,
    ) {
        let u = weights.matrices(way);
        match self {
            Self::F32 => simd.vectorize(Multiply { at, tiles, sides: [state, gradient], u }),
            Self::Bf16(rounded) => {
                simd.vectorize(Multiply { at, tiles, sides: [state], u });
                rounded.multiply(at, tiles, gradient, way);
            }
        }
    }

    /// Multiplies the points of a gradient by a kernel's matrices.
    #[inline(always)]
    pub fn multiply<S: Simd>(
        &mut self,
        simd: S,
        (at, tiles): (Points, usize),
        gradient: Side<'_>,
        weights: &Weights<'_>,
        way: Way,
    ) {
        match self {
            Self::F32 => {
                let u = weights.matrices(way);
                simd.vectorize(Multiply { at, tiles, sides: [gradient], u });
            }
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
            Self::Bf16(rounded) => rounded.add_outer(at, tiles, pairs, out),
        }
    }
}
