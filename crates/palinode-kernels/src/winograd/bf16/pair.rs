//! Pairs of factors in bf16, and how factors are rounded to them.

use crate::register::Lane;
use crate::token::Avx512Bf16;
use bytemuck::{Pod, Zeroable};
use pulp::Simd;
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_setzero_ps, _mm512_storeu_si512,
};

/// Two neighbouring terms of a sum in bf16; the first is in the lower half.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub(super) struct Pair(u32);

impl Lane for Pair {
    const TERMS: usize = 2;

    type Proof = Avx512Bf16;

    #[inline(always)]
    fn add_product<S: Simd>(_: S, _: Avx512Bf16, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        const { assert!(size_of::<S::f32s>() == size_of::<__m512>()) };
        // SAFETY: the proof says that the processor has the instruction. The vectors are of the same 64
        // bytes as those of the instruction, as asserted, and any bits are valid in both.
        unsafe {
            let [a, b]: [__m512bh; 2] = [a, b].map(|pairs| std::mem::transmute_copy(&pairs));
            let sum = _mm512_dpbf16_ps(std::mem::transmute_copy(&sum), a, b);
            std::mem::transmute_copy(&sum)
        }
    }
}

/// The bits of pairs.
#[inline(always)]
fn bits(pairs: __m512bh) -> __m512i {
    // SAFETY: both are 64 bytes, and any bits are integers.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(pairs) }
}

/// Rounds rows 2k and 2k + 1 of `width` numbers to row k of as many pairs, with a row of zeros behind an odd
/// number of rows.
///
/// # Safety
/// The processor has AVX-512 with products in bf16. `width` is a multiple of 16; `from` is valid for reads of
/// `rows` rows of `width` numbers, and `into` for writes of half as many rows of pairs, rounded up.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pair_rows(rows: usize, width: usize, from: *const f32, into: *mut Pair) {
    for row in (0..rows).step_by(2) {
        for column in (0..width).step_by(16) {
            // SAFETY: 16 numbers of row `row`, and of the next if `rows − row` says that there is one; and
            // 16 pairs, 64 bytes, of row row/2.
            unsafe {
                let pairs = pair_two_rows(rows - row, width, from.add(row * width + column));
                _mm512_storeu_si512(into.add(row / 2 * width + column).cast(), pairs);
            }
        }
    }
}

/// Rounds sixteen numbers from `from` on and those of the next row, `width` further on, to pairs. If `rows`
/// is 1, the numbers of the next row count as zeros, and if it is 0, all of them.
///
/// # Safety
/// The processor has AVX-512 with products in bf16. `from` is valid for reads of sixteen numbers if there is
/// a row, and `from + width` if there are two.
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
    // (No closures: the compiler would not inline them.)
    let (mut one, mut other) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    // SAFETY: rows are read only if they exist, and the caller vouches for them; 32 numbers of 16 bits are as
    // large as a vector.
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

/// Rounds neighbouring numbers to pairs.
///
/// # Safety
/// The processor has AVX-512 with products in bf16. `count` is a multiple of 32; `from` is valid for reads of
/// `count` numbers, and `into` for writes of half as many pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pair_neighbours(count: usize, from: *const f32, into: *mut Pair) {
    for at in (0..count).step_by(32) {
        // SAFETY: numbers at … at + 31 are below `count`, and their pairs are 64 bytes from at/2 on.
        unsafe {
            let from = from.add(at);
            let pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(16)), _mm512_loadu_ps(from));
            _mm512_storeu_si512(into.add(at / 2).cast(), bits(pairs));
        }
    }
}
