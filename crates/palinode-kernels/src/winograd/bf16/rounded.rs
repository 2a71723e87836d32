//! One thread's memory for rounded factors.

use super::pair::{Pair, pair_rows};
use super::tiles::{self, add_outer_tiled, multiply_tiled};
use super::vectors::{add_outer_rounded, multiply_rounded};
use crate::register::PANEL;
use crate::scratch::Arena;
use crate::token::Bf16;
use crate::winograd::gemm::Side;
use crate::winograd::tile::Points;
use crate::winograd::weights::{Way, Weights};

/// Products of rounded factors, and the memory for their factors.
pub(crate) struct Rounded<'m> {
    bf16: Bf16,
    /// U in pairs of neighbouring inputs.
    forward: &'m mut [Pair],
    /// Uᵀ in pairs of neighbouring outputs.
    adjoint: &'m mut [Pair],
    /// By vectors, four arrays of factors at one point; on tiles, two arrays of factors at a few points.
    factors: [&'m mut [Pair]; 4],
}

impl<'m> Rounded<'m> {
    /// For strips whose points are `at`.
    pub fn new(arena: &mut Arena<'m>, bf16: Bf16, at: Points) -> Self {
        let weights = at.count * at.depth * at.depth / 2;
        let factors = match bf16 {
            Bf16::Vectors(_) => [at.stride; 4],
            Bf16::Tiles(_) => [tiles::factors(at), tiles::factors(at), 0, 0],
        };
        let (forward, adjoint) = (arena.zeros(weights), arena.zeros(weights));
        Self { bf16, forward, adjoint, factors: factors.map(|len| arena.zeros(len)) }
    }

    /// Chooses the kernel to multiply by.
    pub fn set(&mut self, weights: &Weights<'_>, at: Points) {
        // SAFETY: there is a `Bf16`, so the processor has AVX-512 with products in bf16.
        unsafe {
            round_matrices(at, weights.forward, self.forward);
            round_matrices(at, weights.adjoint, self.adjoint);
        }
    }

    /// [`Multiply`](crate::winograd::gemm::Multiply) for one side.
    pub fn multiply(&mut self, at: Points, tiles: usize, side: Side<'_>, way: Way) {
        let u = match way {
            Way::Forward => &*self.forward,
            Way::Adjoint => &*self.adjoint,
        };
        let [factors, ..] = &mut self.factors;
        match self.bf16 {
            // SAFETY: the token proves that the processor has AVX-512 with products in bf16.
            Bf16::Vectors(token) => unsafe {
                multiply_rounded(token, at, tiles, side, u, factors);
            },
            // SAFETY: the token proves that the processor has AVX-512 with products in bf16, and AMX.
            Bf16::Tiles(token) => unsafe { multiply_tiled(token, at, tiles, side, u, factors) },
        }
    }

    /// [`AddOuter`](crate::winograd::gemm::AddOuter).
    pub fn add_outer<const P: usize>(
        &mut self,
        at: Points,
        tiles: usize,
        pairs: [(&[f32], &[f32]); P],
        out: &mut [f32],
    ) {
        let factors = &mut self.factors;
        match self.bf16 {
            // SAFETY: the token proves that the processor has AVX-512 with products in bf16.
            Bf16::Vectors(token) => unsafe {
                add_outer_rounded(token, at, tiles, pairs, out, factors);
            },
            // SAFETY: the token proves that the processor has AVX-512 with products in bf16, and AMX.
            Bf16::Tiles(token) => unsafe {
                add_outer_tiled(token, at, tiles, pairs, out, factors);
            },
        }
    }
}

/// Rounds packed matrices, in pairs of neighbouring rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round_matrices(Points { count, depth, .. }: Points, from: &[f32], into: &mut [Pair]) {
    let plane = depth * depth;
    assert!(depth.is_multiple_of(16) && from.len() >= count * plane);
    assert!(into.len() >= count * plane / 2);
    for point in 0..count {
        for start in (0..depth).step_by(PANEL) {
            let at = point * plane + start * depth;
            // SAFETY: this function requires the processor's features. A panel is `depth` rows, an even
            // number, of a width that is a multiple of 16, from start·depth on; both slices cover all
            // matrices, as asserted.
            unsafe {
                let (from, into) = (from.as_ptr().add(at), into.as_mut_ptr().add(at / 2));
                pair_rows(depth, PANEL.min(depth - start), from, into);
            }
        }
    }
}
