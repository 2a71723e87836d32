//! Transposes of squares of 16×16 numbers.

use pulp::Simd;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps, _mm512_setzero_ps,
    _mm512_shuffle_f32x4, _mm512_storeu_ps, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
    _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

/// Rows and columns of a square: the numbers of one AVX-512 vector.
pub(crate) const EDGE: usize = 16;

pub(crate) type Square = [[f32; EDGE]; EDGE];

/// Transposes a square in its place.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(_: S, square: &mut Square) {
    #[cfg(target_arch = "x86_64")]
    if std::any::TypeId::of::<S>() == std::any::TypeId::of::<pulp::x86::V4>() {
        // SAFETY: a value of type V4 was passed, and one exists only where the machine has AVX-512.
        unsafe { by_shuffles(square) };
        return;
    }
    by_swaps(square);
}

#[allow(clippy::needless_range_loop, reason = "both sides of an exchange are indexed")]
#[inline(always)]
fn by_swaps(square: &mut Square) {
    for row in 0..EDGE {
        for column in 0..row {
            let value = square[row][column];
            square[row][column] = square[column][row];
            square[column][row] = value;
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn by_shuffles(square: &mut Square) {
    let mut rows = [_mm512_setzero_ps(); EDGE];
    for (row, line) in rows.iter_mut().zip(square.iter()) {
        // SAFETY: a line holds 16 numbers, as many as are read.
        *row = unsafe { _mm512_loadu_ps(line.as_ptr()) };
    }
    for (row, line) in transposed(rows).iter().zip(square.iter_mut()) {
        // SAFETY: a line holds 16 numbers, as many as are written.
        unsafe { _mm512_storeu_ps(line.as_mut_ptr(), *row) };
    }
}

/// The transpose of 16 registers, in four rounds of 16 shuffles: pairs of numbers, pairs of pairs, then
/// quarters of rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn transposed(mut rows: [__m512; EDGE]) -> [__m512; EDGE] {
    let mut pairs = rows;
    for i in (0..EDGE).step_by(2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    // Quarter q of quads[4g + k] holds column 4q + k of rows 4g to 4g + 3.
    let mut quads = pairs;
    let wide = |row: __m512| _mm512_castps_pd(row);
    for g in (0..EDGE).step_by(4) {
        for k in 0..2 {
            let (a, b) = (wide(pairs[g + k]), wide(pairs[g + 2 + k]));
            quads[g + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            quads[g + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    const EVEN: i32 = 0x88;
    const ODD: i32 = 0xdd;
    for k in 0..4 {
        let (a, b, c, d) = (quads[k], quads[4 + k], quads[8 + k], quads[12 + k]);
        let even = (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d));
        let odd = (_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d));
        rows[k] = _mm512_shuffle_f32x4::<EVEN>(even.0, even.1);
        rows[4 + k] = _mm512_shuffle_f32x4::<EVEN>(odd.0, odd.1);
        rows[8 + k] = _mm512_shuffle_f32x4::<ODD>(even.0, even.1);
        rows[12 + k] = _mm512_shuffle_f32x4::<ODD>(odd.0, odd.1);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::token::Token;
    use pulp::WithSimd;

    struct Transpose<'a>(&'a mut Square);

    impl WithSimd for Transpose<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            transpose(simd, self.0);
        }
    }

    #[test]
    fn rows_become_columns_with_every_instruction_set() {
        let plain: Square = std::array::from_fn(|r| std::array::from_fn(|c| (100 * r + c) as f32));
        let turned: Square = std::array::from_fn(|r| std::array::from_fn(|c| (100 * c + r) as f32));
        for token in Isa::ALL.into_iter().filter_map(Token::of) {
            let mut square = plain;
            token.dispatch(Transpose(&mut square));
            assert!(square == turned, "{}", token.isa());
        }
    }
}
