//! Products of factors rounded to bf16: two terms at a time by AVX-512's `vdpbf16ps`, or on AMX's tiles.

use super::gemm::{ROWS, add_outer, check, multiply};
use super::products::{Side, Way};
use super::tile::Points;
use super::tiled::{self, add_outer_tiled, multiply_tiled};
use super::weights::Weights;
use crate::aligned::Aligned;
use crate::register::{Lane, PANEL};
use crate::token::Bf16;
use bytemuck::{Pod, Zeroable};
use pulp::Simd;
use pulp::x86::V4;
use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_setzero_ps, _mm512_storeu_si512,
};

/// Two neighbouring terms of a sum, in bf16, the first in the lower half.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Pair(u32);

impl Lane for Pair {
    const TERMS: usize = 2;

    #[inline(always)]
    unsafe fn add_product<S: Simd>(_: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        const { assert!(size_of::<S::f32s>() == size_of::<__m512i>()) };
        // SAFETY: vectors of the same 64 bytes; the caller has the instruction.
        unsafe {
            let [a, b] = [a, b].map(|pairs| std::mem::transmute_copy(&pairs));
            let sum = _mm512_dpbf16_ps(std::mem::transmute_copy(&sum), a, b);
            std::mem::transmute_copy(&sum)
        }
    }
}

/// One thread's memory for them.
pub(super) struct Rounded {
    bf16: Bf16,
    /// [`Weights::forward`], pairs of inputs side by side.
    forward: Aligned<Pair>,
    /// [`Weights::adjoint`] likewise.
    adjoint: Aligned<Pair>,
    /// The factors at one point, or (two of them) at a few.
    factors: [Aligned<Pair>; 4],
}

impl Rounded {
    /// For strips whose points are `at`.
    pub fn new(bf16: Bf16, at: Points) -> Self {
        let weights = || Aligned::zeros(at.count * at.depth * at.depth / 2);
        let factors = match bf16 {
            Bf16::Vectors(_) => [at.stride; 4],
            Bf16::Tiles(_) => [tiled::factors(at), tiled::factors(at), 0, 0],
        };
        let factors = factors.map(Aligned::zeros);
        Self { bf16, forward: weights(), adjoint: weights(), factors }
    }

    /// Makes a kernel the one that is multiplied with.
    pub fn set(&mut self, weights: &Weights, at: Points) {
        let (from, into) = (&*weights.forward, &mut *self.forward);
        // SAFETY: there is a `Bf16`.
        unsafe { round_matrices(at, from, into) };
        let (from, into) = (&*weights.adjoint, &mut *self.adjoint);
        // SAFETY: as above.
        unsafe { round_matrices(at, from, into) };
    }

    /// [`Multiply`](super::gemm::Multiply) of one side.
    pub fn multiply(&mut self, at: Points, tiles: usize, side: Side<'_>, way: Way) {
        let u = match way {
            Way::Forward => &self.forward,
            Way::Adjoint => &self.adjoint,
        };
        let [factors, ..] = &mut self.factors;
        // SAFETY: there is a `Bf16`.
        match self.bf16 {
            Bf16::Vectors(bf16) => unsafe {
                multiply_rounded(bf16.vectors(), at, tiles, side, u, factors)
            },
            Bf16::Tiles(amx) => unsafe { multiply_tiled(amx, at, tiles, side, u, factors) },
        }
    }

    /// [`AddOuter`](super::gemm::AddOuter).
    pub fn add_outer<const P: usize>(
        &mut self,
        at: Points,
        tiles: usize,
        pairs: [(&[f32], &[f32]); P],
        out: &mut [f32],
    ) {
        let factors = &mut self.factors;
        // SAFETY: there is a `Bf16`.
        match self.bf16 {
            Bf16::Vectors(bf16) => unsafe {
                add_outer_rounded(bf16.vectors(), at, tiles, pairs, out, factors)
            },
            Bf16::Tiles(amx) => unsafe { add_outer_tiled(amx, at, tiles, pairs, out, factors) },
        }
    }
}

/// Neighbouring rows of packed matrices side by side.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn round_matrices(Points { count, depth, .. }: Points, from: &[f32], into: &mut [Pair]) {
    let plane = depth * depth;
    assert!(depth.is_multiple_of(16) && from.len() >= count * plane);
    assert!(into.len() >= count * plane / 2);
    for point in 0..count {
        for start in (0..depth).step_by(PANEL) {
            let at = point * plane + start * depth;
            // SAFETY: a panel is `depth` rows, an even number, of its width.
            unsafe {
                let (from, into) = (from.as_ptr().add(at), into.as_mut_ptr().add(at / 2));
                pair_rows(depth, PANEL.min(depth - start), from, into);
            }
        }
    }
}

/// The same 64 bytes.
#[inline(always)]
fn bits(pairs: __m512bh) -> __m512i {
    // SAFETY: any bits are integers.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(pairs) }
}

/// Rows 2k and 2k + 1 of `width` numbers rounded to row k of as many pairs, a zero row behind the last.
///
/// # Safety
/// `width` is a multiple of 16; `from` covers `rows` rows and `into` half as many, rounded up.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pair_rows(rows: usize, width: usize, from: *const f32, into: *mut Pair) {
    for row in (0..rows).step_by(2) {
        for column in (0..width).step_by(16) {
            // SAFETY: the caller's.
            unsafe {
                let pairs = pair_two_rows(rows - row, width, from.add(row * width + column));
                _mm512_storeu_si512(into.add(row / 2 * width + column).cast(), pairs);
            }
        }
    }
}

/// Sixteen numbers from `from` on and those of the next row, `width` further, rounded to pairs; zeros beside
/// them where there is no more than one row, and all zeros where there is none.
///
/// # Safety
/// `from` covers sixteen numbers of one or two of the `rows` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
pub(super) unsafe fn pair_two_rows(rows: usize, width: usize, from: *const f32) -> __m512i {
    // Number i of the one row, then of the other.
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        order
    };
    // (No closures: the compiler would call them.)
    let (mut one, mut other) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    // SAFETY: the caller's; 64 bytes.
    unsafe {
        if rows > 0 {
            one = _mm512_loadu_ps(from);
        }
        if rows > 1 {
            other = _mm512_loadu_ps(from.add(width));
        }
        let order = std::mem::transmute::<[u16; 32], __m512i>(ORDER);
        _mm512_permutexvar_epi16(order, bits(_mm512_cvtne2ps_pbh(other, one)))
    }
}

/// Neighbouring numbers rounded to pairs.
///
/// # Safety
/// `count` is a multiple of 32; `from` covers so many and `into` half of them.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pair_neighbours(count: usize, from: *const f32, into: *mut Pair) {
    for at in (0..count).step_by(32) {
        // SAFETY: the caller's.
        unsafe {
            let from = from.add(at);
            let pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(16)), _mm512_loadu_ps(from));
            _mm512_storeu_si512(into.add(at / 2).cast(), bits(pairs));
        }
    }
}

/// See [`Rounded::multiply`].
///
/// # Panics
/// If the depth is no multiple of 16 or a slice is too short.
#[target_feature(enable = "avx,avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
fn multiply_rounded(
    simd: V4,
    at: Points,
    tiles: usize,
    (a, out): Side<'_>,
    u: &[Pair],
    factors: &mut [Pair],
) {
    let Points { count, stride, channels, depth } = at;
    let (rows, plane) = (tiles.next_multiple_of(ROWS), depth * depth / 2);
    check(at, rows, [a.len(), out.len()], (u.len(), plane));
    assert!(factors.len() >= rows * depth / 2);
    for point in 0..count {
        // SAFETY: as checked above; rows are a multiple of 8.
        unsafe {
            pair_neighbours(rows * depth, a.as_ptr().add(point * stride), factors.as_mut_ptr());
            let sides = [(factors.as_ptr(), out.as_mut_ptr().add(point * stride))];
            let u = u.as_ptr().add(point * plane);
            multiply(simd, rows, (channels, depth), sides, u);
        }
    }
}

/// See [`Rounded::add_outer`].
///
/// # Panics
/// If the depth is no multiple of 16 or a slice is too short.
#[target_feature(enable = "avx,avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
fn add_outer_rounded<const P: usize>(
    simd: V4,
    at: Points,
    tiles: usize,
    pairs: [(&[f32], &[f32]); P],
    out: &mut [f32],
    factors: &mut [Aligned<Pair>; 4],
) {
    const { assert!(P <= 2) };
    let Points { count, stride, channels, depth } = at;
    let (plane, terms) = (depth * depth, tiles.div_ceil(2));
    check(at, tiles, pairs.iter().map(|(a, b)| a.len().min(b.len())), (out.len(), plane));
    assert!(factors.iter().all(|factors| factors.len() >= terms * depth));
    let [one, two, three, four] = factors;
    let factors = [(one.as_mut_ptr(), two.as_mut_ptr()), (three.as_mut_ptr(), four.as_mut_ptr())];
    for point in 0..count {
        // SAFETY: as checked above.
        unsafe {
            for ((a, b), (into_a, into_b)) in pairs.iter().zip(factors) {
                pair_rows(tiles, depth, a.as_ptr().add(point * stride), into_a);
                pair_rows(tiles, depth, b.as_ptr().add(point * stride), into_b);
            }
            let pairs =
                std::array::from_fn(|p| (factors[p].0.cast_const(), factors[p].1.cast_const()));
            let out = out.as_mut_ptr().add(point * plane);
            add_outer::<_, _, P>(simd, terms, (channels, depth), pairs, out);
        }
    }
}

#[cfg(test)]
mod tests;
