//! Numbers and comparisons that the tests share.
#![allow(dead_code, reason = "no test needs all of them")]

use palinode_kernels::recurrence::{Drift, Role, Term, Update};
use palinode_kernels::reference::Recurrence;

/// Deterministic numbers, roughly normal.
pub fn noise(count: usize, seed: u64, scale: f64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..count)
        .map(|_| ((0..12).map(|_| uniform()).sum::<f64>() - 6.0) * scale)
        .map(|value| value as f32)
        .collect()
}

/// In f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Largest error relative to the largest value.
pub fn relative(found: &[f32], truth: &[f64]) -> f64 {
    let error = largest_error(found, truth);
    let largest = truth.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    // Where the truth is zero (a single dead ReLU), nothing else will do.
    if largest == 0.0 { error * f64::MAX } else { error / largest }
}

/// Largest error relative to the largest value, or to `typical` if that is larger.
pub fn relative_to(typical: f64, found: &[f32], truth: &[f64]) -> f64 {
    largest_error(found, truth) / truth.iter().fold(typical, |most, t| most.max(t.abs()))
}

/// Largest error; infinite if one of the numbers is NaN.
fn largest_error(found: &[f32], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let errors = found.iter().zip(truth).map(|(found, truth)| (f64::from(*found) - truth).abs());
    errors.fold(0.0, |most, error| if error.is_nan() { f64::INFINITY } else { error.max(most) })
}

/// The updates of `blocks` blocks with step size `h`, as the naive twins make them.
pub fn updates(recurrence: Recurrence, blocks: usize, h: f64) -> Vec<Update> {
    let pair = |scales: [f64; 2], j: usize| Update::TwoStream {
        first: Term::new(scales[0], 2 * j),
        second: Term::new(scales[1], 2 * j + 1),
    };
    let two_step = |drift, scale, j| Update::TwoStep { drift, residual: Term::new(scale, j) };
    let update = |j: usize| match recurrence {
        Recurrence::Verlet => pair([h, -h], j),
        Recurrence::Coupling => pair([1.0, 1.0], j),
        Recurrence::Hamiltonian => Update::TwoStream {
            first: Term::new(h, j),
            second: Term { role: Role::Conjugate, ..Term::new(-h, j) },
        },
        Recurrence::Midpoint => two_step(Drift::Previous, if j == 0 { h } else { 2.0 * h }, j),
        Recurrence::Leapfrog => two_step(Drift::Extrapolated, -h * h, j),
    };
    (0..blocks).map(update).collect()
}
