//! 3×3 convolution with zero padding 1, its adjoint and its kernel gradient, by seven loops.

use super::Shape;
use num_traits::Float;

/// Calls `visit(y, k, x)` for every product y\[…\] += K\[…\]·x\[…\] of the convolution: the offsets into
/// the output, the kernel `[out, in, 3, 3]` and the input.
fn for_each_product(shape: Shape, mut visit: impl FnMut(usize, usize, usize)) {
    let Shape { batch, channels, height, width } = shape;
    for n in 0..batch {
        for out in 0..channels {
            for row in 0..height {
                for column in 0..width {
                    let y = ((n * channels + out) * height + row) * width + column;
                    for input in 0..channels {
                        for dr in 0..3 {
                            for dc in 0..3 {
                                let (r, c) = (row + dr, column + dc);
                                if r == 0 || r > height || c == 0 || c > width {
                                    continue;
                                }
                                let x = ((n * channels + input) * height + r - 1) * width + c - 1;
                                let k = ((out * channels + input) * 3 + dr) * 3 + dc;
                                visit(y, k, x);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Kx: `x` and the result are `[n, c, h, w]`, the kernel `[c, c, 3, 3]` as `[out, in, row, column]`.
pub fn convolve<T: Float>(shape: Shape, kernel: &[T], x: &[T]) -> Vec<T> {
    let mut y = vec![T::zero(); shape.len()];
    for_each_product(shape, |yi, ki, xi| y[yi] = y[yi] + kernel[ki] * x[xi]);
    y
}

/// Kᵀy, the exact adjoint of [`convolve`]: ⟨Kx, y⟩ = ⟨x, Kᵀy⟩.
pub fn adjoint<T: Float>(shape: Shape, kernel: &[T], y: &[T]) -> Vec<T> {
    let mut x = vec![T::zero(); shape.len()];
    for_each_product(shape, |yi, ki, xi| x[xi] = x[xi] + kernel[ki] * y[yi]);
    x
}

/// ∂⟨y, Kx⟩/∂K for fixed x and y.
pub fn kernel_gradient<T: Float>(shape: Shape, x: &[T], y: &[T]) -> Vec<T> {
    let mut gradient = vec![T::zero(); shape.kernel_len()];
    for_each_product(shape, |yi, ki, xi| gradient[ki] = gradient[ki] + y[yi] * x[xi]);
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_kernel_shifts_the_image() {
        let shape = Shape { batch: 1, channels: 1, height: 2, width: 3 };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut kernel = [0.0; 9];
        kernel[3 + 2] = 1.0; // y[r][c] = x[r][c + 1]
        assert_eq!(convolve(shape, &kernel, &x), [2.0, 3.0, 0.0, 5.0, 6.0, 0.0]);
        assert_eq!(adjoint(shape, &kernel, &x), [0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
    }
}
