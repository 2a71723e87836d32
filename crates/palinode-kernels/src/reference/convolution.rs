//! Convolution, adjoint and weight gradient, by eight loops.

use crate::convolution::ConvolutionKernel;
use num_traits::Float;

/// Rows and columns of y.
///
/// # Panics
/// If no convolution has this shape.
fn output_size(shape: &ConvolutionKernel) -> [usize; 2] {
    shape.output_size().unwrap_or_else(|error| panic!("{error}"))
}

/// Calls `visit(y, w, x)` for every product y\[…\] += w\[…\]·x\[…\] of the convolution, with the places of the
/// three numbers in their arrays.
fn for_each_product(shape: &ConvolutionKernel, mut visit: impl FnMut(usize, usize, usize)) {
    let [rows, columns] = output_size(shape);
    let ([height, width], [kernel_rows, kernel_columns]) = (shape.size, shape.kernel);
    let (inputs, outputs) = (shape.inputs / shape.groups, shape.outputs / shape.groups);
    for n in 0..shape.images {
        for out in 0..shape.outputs {
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                let y = ((n * shape.outputs + out) * rows + row) * columns + column;
                for input in 0..inputs {
                    for (dr, dc) in
                        (0..kernel_rows).flat_map(|r| (0..kernel_columns).map(move |c| (r, c)))
                    {
                        let r = (row * shape.stride[0] + dr).checked_sub(shape.padding[0]);
                        let c = (column * shape.stride[1] + dc).checked_sub(shape.padding[1]);
                        let (Some(r), Some(c)) = (r, c) else { continue };
                        if r >= height || c >= width {
                            continue;
                        }
                        let channel = out / outputs * inputs + input;
                        let x = ((n * shape.inputs + channel) * height + r) * width + c;
                        let w = ((out * inputs + input) * kernel_rows + dr) * kernel_columns + dc;
                        visit(y, w, x);
                    }
                }
            }
        }
    }
}

/// y = Kx for the weight w of K.
///
/// # Panics
/// If no convolution has this shape, or an array is too short.
pub fn convolve<T: Float>(shape: &ConvolutionKernel, weight: &[T], x: &[T]) -> Vec<T> {
    let [rows, columns] = output_size(shape);
    let mut y = vec![T::zero(); shape.images * shape.outputs * rows * columns];
    for_each_product(shape, |yi, wi, xi| y[yi] = y[yi] + weight[wi] * x[xi]);
    y
}

/// x = Kᵀy, the exact adjoint of [`convolve`]: ⟨Kx, y⟩ = ⟨x, Kᵀy⟩.
///
/// # Panics
/// As [`convolve`].
pub fn adjoint<T: Float>(shape: &ConvolutionKernel, weight: &[T], y: &[T]) -> Vec<T> {
    let mut x = vec![T::zero(); shape.images * shape.inputs * shape.size[0] * shape.size[1]];
    for_each_product(shape, |yi, wi, xi| x[xi] = x[xi] + weight[wi] * y[yi]);
    x
}

/// ∂⟨y, Kx⟩/∂w for fixed x and y.
///
/// # Panics
/// As [`convolve`].
pub fn weight_gradient<T: Float>(shape: &ConvolutionKernel, x: &[T], y: &[T]) -> Vec<T> {
    let inputs = shape.inputs / shape.groups;
    let len = shape.outputs * inputs * shape.kernel[0] * shape.kernel[1];
    let mut gradient = vec![T::zero(); len];
    for_each_product(shape, |yi, wi, xi| gradient[wi] = gradient[wi] + y[yi] * x[xi]);
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_kernel_shifts_the_image() {
        let shape = ConvolutionKernel {
            images: 1,
            inputs: 1,
            outputs: 1,
            size: [2, 3],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            groups: 1,
            algorithm: crate::Algorithm::Direct,
        };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut kernel = [0.0; 9];
        kernel[3 + 2] = 1.0; // y[r][c] = x[r][c + 1]
        assert_eq!(convolve(&shape, &kernel, &x), [2.0, 3.0, 0.0, 5.0, 6.0, 0.0]);
        assert_eq!(adjoint(&shape, &kernel, &x), [0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
        // Every second pixel of the first row, with its right neighbour.
        let strided = ConvolutionKernel { stride: [2, 2], ..shape };
        assert_eq!(convolve(&strided, &kernel, &x), [2.0, 0.0]);
    }
}
