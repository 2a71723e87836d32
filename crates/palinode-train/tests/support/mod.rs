//! What several tests share.
#![allow(dead_code, clippy::unwrap_used)] // every test binary uses a part of this

use burn::tensor::Tensor;

/// A tensor's values as f64.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert::<f64>().try_to_vec().unwrap()
}

/// ‖a − b‖ / ‖b‖; infinite where b is zero, where a number is NaN, or where lengths differ.
pub fn relative(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = b.iter().map(|b| b * b).sum();
    let found = (difference / size).sqrt();
    if size == 0.0 || found.is_nan() { f64::INFINITY } else { found }
}
