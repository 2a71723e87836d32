//! Numbers and comparisons that the tests share.
#![allow(dead_code, reason = "no test needs all of them")]

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
    assert_eq!(found.len(), truth.len());
    let largest = truth.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let error = found.iter().zip(truth).fold(0.0_f64, |m, (f, t)| m.max((f64::from(*f) - t).abs()));
    // Where the truth is zero (a single dead ReLU), nothing else will do.
    if largest == 0.0 { error * f64::MAX } else { error / largest }
}

/// Largest error relative to the largest value, or to `typical` if that is larger.
pub fn relative_to(typical: f64, found: &[f32], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let pairs = found.iter().zip(truth);
    let largest = pairs.map(|(f, t)| (f64::from(*f) - t).abs()).fold(0.0, f64::max);
    largest / truth.iter().fold(typical, |most, t| most.max(t.abs()))
}
