//! U = GKGᵀ of one kernel, packed both ways, and the way back for gradients.

use super::{Geometry, POINTS};
use crate::aligned::Aligned;

/// G, 6×3.
const G: [[f32; 3]; 6] = [
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// One kernel in the transform domain, and its bias, padded with zeros.
pub(crate) struct Weights {
    /// U, `[point][input][output]`.
    pub forward: Aligned,
    /// Uᵀ, `[point][output][input]`.
    pub adjoint: Aligned,
    /// b, `[channel]`.
    pub bias: Aligned,
}

impl Weights {
    pub fn zeros(geometry: &Geometry) -> Self {
        let points = POINTS * geometry.depth * geometry.depth;
        Self {
            forward: Aligned::zeros(points),
            adjoint: Aligned::zeros(points),
            bias: Aligned::zeros(geometry.depth),
        }
    }

    /// Transforms a kernel `[c, c, 3, 3]` (`[out, in, row, column]`) and takes its bias `[c]`.
    pub fn set(&mut self, geometry: &Geometry, kernel: &[f32], bias: &[f32]) {
        let (c, depth) = (geometry.channels, geometry.depth);
        let plane = depth * depth;
        self.bias[..c].copy_from_slice(bias);
        for (index, taps) in kernel.chunks_exact(9).enumerate() {
            let (output, input) = (index / c, index % c);
            for (point, value) in transformed(taps).into_iter().enumerate() {
                self.forward[point * plane + input * depth + output] = value;
                self.adjoint[point * plane + output * depth + input] = value;
            }
        }
    }
}

/// GKGᵀ of one 3×3 kernel.
fn transformed(taps: &[f32]) -> [f32; POINTS] {
    let mut half = [[0.0; 3]; 6];
    for (row, g) in half.iter_mut().zip(&G) {
        for (column, value) in row.iter_mut().enumerate() {
            *value = g[0] * taps[column] + g[1] * taps[3 + column] + g[2] * taps[6 + column];
        }
    }
    let mut points = [0.0; POINTS];
    for (row, h) in half.iter().enumerate() {
        for (column, g) in G.iter().enumerate() {
            points[row * 6 + column] = h[0] * g[0] + h[1] * g[1] + h[2] * g[2];
        }
    }
    points
}

/// Writes GᵀdUG into a kernel gradient `[c, c, 3, 3]`; dU is `[point][input][output]`.
pub(super) fn kernel_gradient(geometry: &Geometry, points: &[f32], gradient: &mut [f32]) {
    let (c, depth) = (geometry.channels, geometry.depth);
    let plane = depth * depth;
    for (index, taps) in gradient.chunks_exact_mut(9).enumerate() {
        let (output, input) = (index / c, index % c);
        let at = input * depth + output;
        let mut half = [[0.0_f32; 6]; 3];
        for (row, g) in G.iter().enumerate() {
            for column in 0..6 {
                let value = points[(row * 6 + column) * plane + at];
                for (tap, h) in half.iter_mut().enumerate() {
                    h[column] += g[tap] * value;
                }
            }
        }
        for (row, h) in half.iter().enumerate() {
            for column in 0..3 {
                taps[row * 3 + column] = (0..6).map(|k| h[k] * G[k][column]).sum();
            }
        }
    }
}
