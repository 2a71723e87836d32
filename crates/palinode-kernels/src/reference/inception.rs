//! The inception map, its adjoint and its gradients, by the loops of `convolution`.

use super::convolution::{adjoint, convolve, weight_gradient};
use crate::algorithm::Algorithm;
use crate::convolution::ConvolutionKernel;
use crate::inception::{Arrays, EXTENTS, InceptionKernel};
use num_traits::Float;

/// One of the map's convolutions on the images of `shape`.
fn convolution(shape: &InceptionKernel, which: usize) -> ConvolutionKernel {
    let extent = EXTENTS[which];
    ConvolutionKernel {
        images: shape.images,
        inputs: shape.group,
        outputs: shape.group,
        size: shape.size,
        kernel: [extent; 2],
        stride: [1, 1],
        padding: [extent / 2; 2],
        groups: 1,
        algorithm: Algorithm::Direct,
    }
}

/// A convolution and its bias.
fn affine<T: Float>(
    shape: &InceptionKernel,
    which: usize,
    kernels: &Arrays<Vec<T>>,
    biases: &Arrays<Vec<T>>,
    x: &[T],
) -> Vec<T> {
    let area = shape.size[0] * shape.size[1];
    let mut y = convolve(&convolution(shape, which), &kernels[which], x);
    for (place, value) in y.iter_mut().enumerate() {
        *value = *value + biases[which][place / area % shape.group];
    }
    y
}

fn back<T: Float>(
    shape: &InceptionKernel,
    which: usize,
    kernels: &Arrays<Vec<T>>,
    y: &[T],
) -> Vec<T> {
    adjoint(&convolution(shape, which), &kernels[which], y)
}

/// Group `quarter` of the channels of every image.
fn quarter<T: Copy>(shape: &InceptionKernel, x: &[T], quarter: usize) -> Vec<T> {
    let length = shape.group * shape.size[0] * shape.size[1];
    let images = x.chunks((4 * length).max(1));
    images.flat_map(|image| &image[quarter * length..(quarter + 1) * length]).copied().collect()
}

/// Images from the groups of their channels.
fn joined<T: Copy>(shape: &InceptionKernel, quarters: [Vec<T>; 4]) -> Vec<T> {
    let length = shape.group * shape.size[0] * shape.size[1];
    let image = |image: usize| {
        let parts = quarters.iter().map(move |q| &q[image * length..(image + 1) * length]);
        parts.flatten().copied().collect::<Vec<T>>()
    };
    (0..shape.images).flat_map(image).collect()
}

/// Ax + b.
pub fn inception<T: Float>(
    shape: &InceptionKernel,
    kernels: &Arrays<Vec<T>>,
    biases: &Arrays<Vec<T>>,
    x: &[T],
) -> Vec<T> {
    let through = |which, x: &[T]| affine(shape, which, kernels, biases, x);
    joined(
        shape,
        [
            quarter(shape, x, 0),
            through(0, &quarter(shape, x, 1)),
            through(2, &through(1, &quarter(shape, x, 2))),
            through(4, &through(3, &quarter(shape, x, 3))),
        ],
    )
}

/// Aᵀy.
pub fn inception_adjoint<T: Float>(
    shape: &InceptionKernel,
    kernels: &Arrays<Vec<T>>,
    y: &[T],
) -> Vec<T> {
    let through = |which, y: &[T]| back(shape, which, kernels, y);
    joined(
        shape,
        [
            quarter(shape, y, 0),
            through(0, &quarter(shape, y, 1)),
            through(1, &through(2, &quarter(shape, y, 2))),
            through(3, &through(4, &quarter(shape, y, 3))),
        ],
    )
}

/// The gradients of ⟨y, Ax + b⟩ with respect to kernels and biases.
pub fn inception_gradients<T: Float>(
    shape: &InceptionKernel,
    kernels: &Arrays<Vec<T>>,
    biases: &Arrays<Vec<T>>,
    x: &[T],
    y: &[T],
) -> (Arrays<Vec<T>>, Arrays<Vec<T>>) {
    let area = shape.size[0] * shape.size[1];
    let of_kernel =
        |which: usize, x: &[T], y: &[T]| weight_gradient(&convolution(shape, which), x, y);
    let of_bias = |y: &[T]| {
        let mut sums = vec![T::zero(); shape.group];
        for (place, &value) in y.iter().enumerate() {
            let sum = &mut sums[place / area % shape.group];
            *sum = *sum + value;
        }
        sums
    };
    let x = [1, 2, 3].map(|index| quarter(shape, x, index));
    let y = [1, 2, 3].map(|index| quarter(shape, y, index));
    let hidden = [(1, 1), (2, 3)]
        .map(|(path, which): (usize, usize)| affine(shape, which, kernels, biases, &x[path]));
    let hidden_y =
        [(1, 2), (2, 4)].map(|(path, which): (usize, usize)| back(shape, which, kernels, &y[path]));
    let of_kernels = [
        of_kernel(0, &x[0], &y[0]),
        of_kernel(1, &x[1], &hidden_y[0]),
        of_kernel(2, &hidden[0], &y[1]),
        of_kernel(3, &x[2], &hidden_y[1]),
        of_kernel(4, &hidden[1], &y[2]),
    ];
    let of_biases = [&y[0], &hidden_y[0], &y[1], &hidden_y[1], &y[2]].map(|y| of_bias(y));
    (of_kernels, of_biases)
}
