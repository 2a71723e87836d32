//! The highest speed of the machine.

use crate::context::Context;
use pulp::{Simd, WithSimd};
use std::hint::black_box;
use std::time::Instant;

/// Operations per second that all threads of a context reach together on numbers in registers with its
/// instruction set: multiplications and additions in f32, counted apart. The best of five attempts of
/// some milliseconds each.
pub fn measured_peak(context: &Context) -> f64 {
    const ROUNDS: usize = 2_000_000;
    let attempt = || {
        let began = Instant::now();
        let counts = rayon::broadcast(|_| context.token().dispatch(Chains(ROUNDS)));
        counts.into_iter().sum::<f64>() / began.elapsed().as_secs_f64()
    };
    context.install(|| (0..5).map(|_| attempt()).fold(0.0, f64::max))
}

/// Rounds of twelve independent multiplications with addition; returns the operations.
struct Chains(usize);

impl WithSimd for Chains {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let mut sums = [simd.splat_f32s(0.1); 12];
        let (factor, term) = (simd.splat_f32s(0.999), simd.splat_f32s(0.001));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, term);
            }
        }
        for sum in sums {
            black_box(simd.reduce_sum_f32s(sum));
        }
        (2 * 12 * S::F32_LANES * self.0) as f64
    }
}
