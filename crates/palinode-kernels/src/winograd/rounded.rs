//! Products of factors rounded to bf16, two terms at a time: AVX-512's `vdpbf16ps`.

use super::gemm::{ROWS, add_outer, multiply};
use super::products::{Side, Way};
use super::tile::Points;
use super::weights::Weights;
use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::register::{Lane, PANEL};
use bytemuck::{Pod, Zeroable};
use pulp::Simd;
use pulp::x86::V4;
use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_setzero_ps, _mm512_storeu_si512,
};

/// Two neighbouring terms of a sum, in bf16.
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

/// That products in bf16 can be taken.
#[derive(Clone, Copy)]
pub(super) struct Bf16(V4);

impl Bf16 {
    pub fn new() -> Option<Self> {
        let there = Isa::current() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
        V4::try_new().filter(|_| there).map(Self)
    }
}

/// One thread's memory for them.
pub(super) struct Rounded {
    bf16: Bf16,
    /// [`Weights::forward`], pairs of inputs side by side.
    forward: Aligned<Pair>,
    /// [`Weights::adjoint`] likewise.
    adjoint: Aligned<Pair>,
    /// The factors at one point.
    factors: [Aligned<Pair>; 4],
}

impl Rounded {
    /// For strips whose points are `at`.
    pub fn new(bf16: Bf16, at: Points) -> Self {
        let weights = || Aligned::zeros(at.count * at.depth * at.depth / 2);
        let factors = [(); 4].map(|()| Aligned::zeros(at.stride));
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
        unsafe { multiply_rounded(self.bf16, at, tiles, side, u, factors) };
    }

    /// [`AddOuter`](super::gemm::AddOuter).
    pub fn add_outer<const P: usize>(
        &mut self,
        at: Points,
        tiles: usize,
        pairs: [(&[f32], &[f32]); P],
        out: &mut [f32],
    ) {
        // SAFETY: there is a `Bf16`.
        unsafe { add_outer_rounded(self.bf16, at, tiles, pairs, out, &mut self.factors) };
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
unsafe fn pair_rows(rows: usize, width: usize, from: *const f32, into: *mut Pair) {
    // Number i of the one row, then of the other.
    let order: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
    // SAFETY: 64 bytes.
    let order: __m512i = unsafe { std::mem::transmute(order) };
    for row in (0..rows).step_by(2) {
        for column in (0..width).step_by(16) {
            // SAFETY: the caller's.
            unsafe {
                let one = from.add(row * width + column);
                let other = if row + 1 < rows {
                    _mm512_loadu_ps(one.add(width))
                } else {
                    _mm512_setzero_ps()
                };
                let both = _mm512_cvtne2ps_pbh(other, _mm512_loadu_ps(one));
                let pairs = _mm512_permutexvar_epi16(order, bits(both));
                _mm512_storeu_si512(into.add(row / 2 * width + column).cast(), pairs);
            }
        }
    }
}

/// Neighbouring numbers rounded to pairs.
///
/// # Safety
/// `count` is a multiple of 32; `from` covers so many and `into` half of them.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pair_neighbours(count: usize, from: *const f32, into: *mut Pair) {
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
    Bf16(simd): Bf16,
    at: Points,
    tiles: usize,
    (a, out): Side<'_>,
    u: &[Pair],
    factors: &mut [Pair],
) {
    let Points { count, stride, channels, depth } = at;
    let (rows, plane) = (tiles.next_multiple_of(ROWS), depth * depth / 2);
    let end = (count - 1) * stride + rows * depth;
    assert!(channels <= depth && depth.is_multiple_of(16) && u.len() >= count * plane);
    assert!(a.len().min(out.len()) >= end && factors.len() >= rows * depth / 2);
    for point in 0..count {
        // SAFETY: the assertions above; rows are a multiple of 8.
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
    Bf16(simd): Bf16,
    at: Points,
    tiles: usize,
    pairs: [(&[f32], &[f32]); P],
    out: &mut [f32],
    factors: &mut [Aligned<Pair>; 4],
) {
    const { assert!(P <= 2) };
    let Points { count, stride, channels, depth } = at;
    let (plane, terms) = (depth * depth, tiles.div_ceil(2));
    let end = (count - 1) * stride + tiles * depth;
    assert!(channels <= depth && depth.is_multiple_of(16) && out.len() >= count * plane);
    assert!(pairs.iter().all(|(a, b)| a.len().min(b.len()) >= end));
    assert!(factors.iter().all(|factors| factors.len() >= terms * depth));
    let [one, two, three, four] = factors;
    let factors = [(one.as_mut_ptr(), two.as_mut_ptr()), (three.as_mut_ptr(), four.as_mut_ptr())];
    for point in 0..count {
        // SAFETY: the assertions above.
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
mod tests {
    use super::*;
    use crate::register::packed;

    /// The bf16 nearest to x, of two the even one.
    fn nearest(x: f32) -> f64 {
        let bits = x.to_bits();
        let rounded = bits + 0x7fff + (bits >> 16 & 1);
        f64::from(f32::from_bits(rounded & 0xffff_0000))
    }

    /// Numbers whose low bits count, from -1 to 1.
    fn noise(count: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 100_003) as f32 / 50_001.5 - 1.0;
        (0..count).map(number).collect()
    }

    /// Calls `check` with shapes of strips: (points and their stride, tiles).
    fn for_shapes(check: impl Fn(Bf16, Points, usize)) {
        let Some(bf16) = Bf16::new() else {
            println!("not tested: this machine has no products in bf16");
            return;
        };
        for channels in [1_usize, 3, 16, 17, 32, 33, 56, 64, 100] {
            for tiles in [1_usize, 2, 7, 16, 19] {
                let depth = channels.next_multiple_of(16);
                let stride = tiles.next_multiple_of(ROWS) * depth + 16;
                check(bf16, Points { count: 16, stride, channels, depth }, tiles);
            }
        }
    }

    /// A kernel's matrices, zero where there are no channels.
    fn weights(Points { count, channels, depth, .. }: Points) -> Weights {
        let matrices = |seed| {
            let mut all = Aligned::zeros(count * depth * depth);
            for (index, value) in noise(count * channels * channels, seed).into_iter().enumerate() {
                let (point, at) = (index / channels.pow(2), index % channels.pow(2));
                let at = packed(depth, depth, at / channels, at % channels);
                all[point * depth * depth + at] = value;
            }
            all
        };
        Weights { forward: matrices(1), adjoint: matrices(2), bias: Aligned::default() }
    }

    #[test]
    fn products_are_those_of_the_rounded_factors() {
        for_shapes(|bf16, at, tiles| {
            let Points { count, stride, channels, depth } = at;
            let (weights, a) = (weights(at), noise(count * stride, 3));
            let mut rounded = Rounded::new(bf16, at);
            rounded.set(&weights, at);
            for way in [Way::Forward, Way::Adjoint] {
                let mut out = vec![0.0; count * stride];
                rounded.multiply(at, tiles, (&a, &mut out), way);
                for point in 0..count {
                    for (tile, n) in (0..tiles).flat_map(|t| (0..depth).map(move |n| (t, n))) {
                        let term = |k: usize| {
                            let u = point * depth * depth + packed(depth, depth, k, n);
                            let a = a[point * stride + tile * depth + k];
                            nearest(a) * nearest(weights.matrices(way)[u])
                        };
                        let truth: f64 = (0..channels).map(term).sum();
                        let size: f64 = (0..channels).map(|k| term(k).abs()).sum();
                        let found = f64::from(out[point * stride + tile * depth + n]);
                        let error = (found - truth).abs();
                        assert!(
                            error <= 5e-7 * size,
                            "{at:?}, tile {tile}, channel {n}: {found}, not {truth}"
                        );
                    }
                }
            }
        });
    }

    #[test]
    fn outer_products_are_those_of_the_rounded_factors() {
        for_shapes(|bf16, at, tiles| {
            let Points { count, stride, channels, depth } = at;
            let factors = [3, 4, 5, 6].map(|seed| noise(count * stride, seed));
            let [a, b, c, d] = &factors;
            let mut rounded = Rounded::new(bf16, at);
            let mut out = vec![1.0; count * depth * depth];
            rounded.add_outer(at, tiles, [(&a[..], &b[..]), (&c[..], &d[..])], &mut out);
            for point in 0..count {
                for (i, o) in (0..channels).flat_map(|i| (0..channels).map(move |o| (i, o))) {
                    let term = |tile: usize| {
                        let [a, b, c, d] = [(a, i), (b, o), (c, i), (d, o)]
                            .map(|(all, n)| nearest(all[point * stride + tile * depth + n]));
                        a * b + c * d
                    };
                    let truth = 1.0 + (0..tiles).map(term).sum::<f64>();
                    let size = 1.0 + (0..tiles).map(|tile| term(tile).abs()).sum::<f64>();
                    let found = f64::from(out[point * depth * depth + packed(depth, depth, i, o)]);
                    let error = (found - truth).abs();
                    assert!(error <= 5e-7 * size, "{at:?}, ({i}, {o}): {found}, not {truth}");
                }
            }
        });
    }
}
