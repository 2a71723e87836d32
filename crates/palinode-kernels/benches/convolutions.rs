//! Single convolutions of residual networks on 128 images.
//!
//! Items are operations: `Gitem/s` is GF/s.
//! Run: `cargo bench -p palinode-kernels --bench convolutions`.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::{Algorithm, Context};

const IMAGES: usize = 128;
/// (inputs, outputs, rows and columns, kernel, stride) of a stem, of resnet-32 and of inception.
const SHAPES: [(usize, usize, usize, usize, usize); 11] = [
    (3, 32, 32, 3, 1),
    (16, 16, 32, 3, 1),
    (16, 32, 32, 3, 2),
    (32, 32, 16, 3, 1),
    (32, 64, 16, 3, 2),
    (64, 64, 8, 3, 1),
    (16, 32, 32, 1, 2),
    (16, 16, 32, 1, 1),
    (32, 8, 16, 1, 1),
    (8, 8, 16, 3, 1),
    (8, 8, 16, 5, 1),
];

fn main() {
    divan::main();
}

fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

/// Calls `work` with a convolution, x, w and y.
fn with_convolution(
    (inputs, outputs, size, kernel, stride): (usize, usize, usize, usize, usize),
    bencher: Bencher<'_, '_>,
    work: impl Fn(&Context, &ConvolutionKernel, &mut [f32], &mut [f32], &mut [f32]),
) {
    let shape = ConvolutionKernel {
        images: IMAGES,
        inputs,
        outputs,
        size: [size; 2],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        groups: 1,
        algorithm: Algorithm::quickest([size; 2]),
    };
    let context = Context::new();
    let extent = (size - 1) / stride + 1;
    let mut x = noise(IMAGES * inputs * size * size);
    let mut w = noise(outputs * inputs * kernel * kernel);
    let mut y = noise(IMAGES * outputs * extent * extent);
    let operations = 2 * y.len() * inputs * kernel * kernel;
    bencher.counter(ItemsCount::new(operations)).bench_local(|| {
        work(&context, &shape, &mut x, &mut w, &mut y);
        black_box((&x, &w, &y));
    });
}

#[divan::bench(args = SHAPES)]
fn value(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, usize, usize)) {
    with_convolution(shape, bencher, |context, shape, x, w, y| {
        shape.value_into(context, x, w, None, y).expect("the shapes fit");
    });
}

#[divan::bench(args = SHAPES)]
fn input_gradient(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, usize, usize)) {
    with_convolution(shape, bencher, |context, shape, x, w, y| {
        shape.adjoint_into(context, y, w, x).expect("the shapes fit");
    });
}

#[divan::bench(args = SHAPES)]
fn weight_gradient(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, usize, usize)) {
    with_convolution(shape, bencher, |context, shape, x, w, y| {
        shape.weight_gradient(context, x, y, w, None).expect("the shapes fit");
    });
}
