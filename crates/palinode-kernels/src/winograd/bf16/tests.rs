//! Products of rounded factors against sums in f64, with every instruction set that has them.

use super::rounded::Rounded;
use crate::isa::Isa;
use crate::register::packed;
use crate::scratch::Scratch;
use crate::token::{Bf16, Token};
use crate::winograd::gemm::ROWS;
use crate::winograd::tile::Points;
use crate::winograd::weights::{Way, Weights};

const GUARD: f32 = 1234.5;

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
    for isa in Isa::ALL {
        match Token::of(isa).and_then(Token::bf16) {
            Some(bf16) => for_shapes_by(bf16, &check),
            None => println!("not tested: no products in bf16 by {isa} on this machine"),
        }
    }
}

fn for_shapes_by(bf16: Bf16, check: impl Fn(Bf16, Points, usize)) {
    for channels in [1_usize, 3, 16, 17, 32, 33, 56, 64, 100] {
        for tiles in [1_usize, 2, 7, 16, 19, 24, 32] {
            let depth = channels.next_multiple_of(16);
            let stride = tiles.next_multiple_of(ROWS) * depth + 16;
            check(bf16, Points { count: 16, stride, channels, depth }, tiles);
        }
    }
}

/// A kernel's matrices, with zeros where there are no channels.
fn matrices(Points { count, channels, depth, .. }: Points, seed: usize) -> Vec<f32> {
    let mut all = vec![0.0; count * depth * depth];
    for (index, value) in noise(count * channels * channels, seed).into_iter().enumerate() {
        let (point, at) = (index / channels.pow(2), index % channels.pow(2));
        let at = packed(depth, depth, at / channels, at % channels);
        all[point * depth * depth + at] = value;
    }
    all
}

#[test]
fn products_are_those_of_the_rounded_factors() {
    for_shapes(|bf16, at, tiles| {
        let Points { count, stride, channels, depth } = at;
        let (mut forward, mut adjoint) = (matrices(at, 1), matrices(at, 2));
        let weights = Weights { forward: &mut forward, adjoint: &mut adjoint, bias: &mut [] };
        let a = noise(count * stride, 3);
        let scratch = Scratch::default();
        let mut slab = scratch.lend(|arena| Rounded::new(arena, bf16, at));
        let mut rounded = Rounded::new(&mut slab.arena(), bf16, at);
        rounded.set(&weights, at);
        for way in [Way::Forward, Way::Adjoint] {
            let mut out = vec![GUARD; count * stride];
            rounded.multiply(at, tiles, (&a, &mut out), way);
            let rows = tiles.next_multiple_of(ROWS) * depth;
            let between = out.chunks(stride).flat_map(|point| &point[rows..]);
            assert!(between.copied().all(|guard| guard == GUARD), "{at:?}, {tiles} tiles");
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
        let scratch = Scratch::default();
        let mut slab = scratch.lend(|arena| Rounded::new(arena, bf16, at));
        let mut rounded = Rounded::new(&mut slab.arena(), bf16, at);
        let mut out = vec![1.0; count * depth * depth];
        out.extend([GUARD; 64]);
        rounded.add_outer(at, tiles, [(&a[..], &b[..]), (&c[..], &d[..])], &mut out);
        assert!(out.split_off(count * depth * depth) == [GUARD; 64], "{at:?}, {tiles} tiles");
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
