//! Vectors of f64 for the Krylov methods.

/// ⟨a, b⟩.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ‖a‖.
pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// a ← factor·a.
pub(super) fn scale(a: &mut [f64], factor: f64) {
    a.iter_mut().for_each(|a| *a *= factor);
}

/// a ← a + factor·b.
pub(super) fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}

/// Σ factorᵢ·vectorᵢ.
pub(super) fn combined(vectors: &[Vec<f64>], factors: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    vectors.iter().zip(factors).for_each(|(vector, &factor)| add(&mut sum, factor, vector));
    sum
}

/// Makes `a` orthogonal to the orthonormal `basis`, twice.
pub(super) fn orthogonalise(a: &mut [f64], basis: &[Vec<f64>]) {
    for _ in 0..2 {
        for vector in basis {
            let factor = dot(vector, a);
            add(a, -factor, vector);
        }
    }
}
