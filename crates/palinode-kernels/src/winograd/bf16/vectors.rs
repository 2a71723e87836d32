//! Products of rounded factors by AVX-512's `vdpbf16ps`.

use super::pair::{Pair, pair_neighbours, pair_rows};
use crate::token::Avx512Bf16;
use crate::winograd::gemm::{ROWS, Side, add_outer, check, multiply};
use crate::winograd::tile::Points;

/// See [`Rounded::multiply`](super::rounded::Rounded::multiply).
///
/// # Panics
/// If the depth is no multiple of 16 or a slice is too short.
#[target_feature(enable = "avx,avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
pub(super) fn multiply_rounded(
    token: Avx512Bf16,
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
        // SAFETY: this function requires the processor's features. `rows` is a multiple of 8 and the depth one
        // of 16, so rows·depth is a multiple of 128. As checked above, a and out cover `rows` rows from
        // point·stride on, u a matrix at every point, and the factors `rows` rows of pairs.
        unsafe {
            pair_neighbours(rows * depth, a.as_ptr().add(point * stride), factors.as_mut_ptr());
            let sides = [(factors.as_ptr(), out.as_mut_ptr().add(point * stride))];
            let u = u.as_ptr().add(point * plane);
            multiply(token.vectors(), token, rows, (channels, depth), sides, u);
        }
    }
}

/// See [`Rounded::add_outer`](super::rounded::Rounded::add_outer).
///
/// # Panics
/// If the depth is no multiple of 16 or a slice is too short.
#[target_feature(enable = "avx,avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16")]
pub(super) fn add_outer_rounded<const P: usize>(
    token: Avx512Bf16,
    at: Points,
    tiles: usize,
    pairs: [(&[f32], &[f32]); P],
    out: &mut [f32],
    factors: &mut [&mut [Pair]; 4],
) {
    const { assert!(P <= 2) };
    let Points { count, stride, channels, depth } = at;
    let (plane, terms) = (depth * depth, tiles.div_ceil(2));
    check(at, tiles, pairs.iter().map(|(a, b)| a.len().min(b.len())), (out.len(), plane));
    assert!(factors.iter().all(|factors| factors.len() >= terms * depth));
    let [one, two, three, four] = factors;
    let factors = [(one.as_mut_ptr(), two.as_mut_ptr()), (three.as_mut_ptr(), four.as_mut_ptr())];
    for point in 0..count {
        // SAFETY: this function requires the processor's features. As checked above, the depth is a multiple of
        // 16, every a and b covers `tiles` rows from point·stride on, out a matrix at every point, and every
        // array of factors `terms` rows of pairs, half as many as tiles, rounded up.
        unsafe {
            for ((a, b), (into_a, into_b)) in pairs.iter().zip(factors) {
                pair_rows(tiles, depth, a.as_ptr().add(point * stride), into_a);
                pair_rows(tiles, depth, b.as_ptr().add(point * stride), into_b);
            }
            let pairs =
                std::array::from_fn(|p| (factors[p].0.cast_const(), factors[p].1.cast_const()));
            let out = out.as_mut_ptr().add(point * plane);
            add_outer::<_, _, P>(token.vectors(), token, terms, (channels, depth), pairs, out);
        }
    }
}
