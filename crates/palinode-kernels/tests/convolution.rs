//! Convolutions against the f64 reference.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::reference::{adjoint, convolve, weight_gradient};
use palinode_kernels::{Algorithm, Context, Error, Microbatches};
use support::{noise, relative, wide};

fn shape(
    (images, inputs, outputs): (usize, usize, usize),
    size: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvolutionKernel {
    let (kernel, stride) = ([kernel; 2], [stride; 2]);
    let padding = [kernel[0] / 2; 2];
    let algorithm = Algorithm::Direct;
    ConvolutionKernel { images, inputs, outputs, size, kernel, stride, padding, groups, algorithm }
}

fn shapes() -> Vec<ConvolutionKernel> {
    vec![
        shape((1, 1, 1), [1, 1], 1, 1, 1),
        shape((1, 1, 1), [1, 1], 3, 1, 1),
        shape((3, 3, 32), [9, 33], 3, 1, 1),
        shape((2, 16, 16), [32, 32], 3, 1, 1),
        shape((70, 32, 16), [4, 4], 3, 1, 1),
        shape((2, 16, 32), [32, 32], 3, 2, 1),
        shape((2, 17, 33), [13, 10], 3, 2, 1),
        shape((3, 64, 8), [7, 5], 1, 1, 1),
        shape((3, 16, 48), [8, 9], 1, 2, 1),
        shape((2, 5, 6), [14, 14], 5, 1, 1),
        shape((2, 5, 6), [14, 15], 5, 2, 1),
        shape((2, 12, 6), [8, 8], 3, 1, 3),
        shape((2, 20, 20), [8, 8], 3, 1, 20),
        shape((2, 8, 4), [11, 8], 3, 3, 2),
        shape((1, 4, 4), [2, 3], 5, 4, 1),
        ConvolutionKernel { padding: [0, 2], kernel: [2, 4], ..shape((2, 3, 5), [6, 7], 3, 1, 1) },
        ConvolutionKernel { stride: [2, 1], kernel: [1, 3], ..shape((2, 3, 5), [6, 7], 3, 1, 1) },
        ConvolutionKernel { padding: [3, 3], ..shape((2, 3, 5), [6, 7], 3, 2, 1) },
    ]
}

/// x, w, b and a cotangent of y.
fn arrays(shape: &ConvolutionKernel) -> [Vec<f32>; 4] {
    let [rows, columns] = shape.output_size().unwrap();
    let taps = shape.inputs / shape.groups * shape.kernel[0] * shape.kernel[1];
    [
        noise(shape.images * shape.inputs * shape.size[0] * shape.size[1], 1, 1.0),
        noise(shape.outputs * taps, 2, (1.0 / taps as f64).sqrt()),
        noise(shape.outputs, 3, 1.0),
        noise(shape.images * shape.outputs * rows * columns, 4, 1.0),
    ]
}

#[test]
fn value_and_gradients_are_the_references_for_every_shape() {
    for shape in shapes() {
        check(shape, 2e-6);
    }
}

#[test]
fn winograds_algorithms_are_the_references_too() {
    for (images, channels, size) in [
        (1, 1, [1, 1]),
        (2, 16, [32, 32]),
        (70, 16, [4, 4]),
        (3, 17, [7, 9]),
        (2, 64, [8, 8]),
        (2, 56, [5, 6]),
    ] {
        let direct = shape((images, channels, channels), size, 3, 1, 1);
        check(ConvolutionKernel { algorithm: Algorithm::Winograd2, ..direct }, 1e-6);
        check(ConvolutionKernel { algorithm: Algorithm::Winograd4, ..direct }, 3e-6);
    }
}

fn check(shape: ConvolutionKernel, bound: f64) {
    let context = &Context::new();
    let [x, weight, bias, cotangent] = arrays(&shape);
    let area = cotangent.len() / shape.images / shape.outputs;
    let mut truth = convolve(&shape, &wide(&weight), &wide(&x));
    let mut bias_truth = vec![0.0; shape.outputs];
    for (index, value) in truth.iter_mut().enumerate() {
        let channel = index / area % shape.outputs;
        *value += f64::from(bias[channel]);
        bias_truth[channel] += f64::from(cotangent[index]);
    }
    // The results are overwritten, so they begin with noise. Weight gradients are added, so they begin with 0.
    let mut y = noise(cotangent.len(), 9, 1.0);
    shape.value_into(context, &x, &weight, Some(&bias), &mut y).unwrap();
    let mut gx = noise(x.len(), 9, 1.0);
    shape.adjoint_into(context, &cotangent, &weight, &mut gx).unwrap();
    let (mut gw, mut gb) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    shape.weight_gradient(context, &x, &cotangent, &mut gw, Some(&mut gb)).unwrap();
    let errors = [
        relative(&y, &truth),
        relative(&gx, &adjoint(&shape, &wide(&weight), &wide(&cotangent))),
        relative(&gw, &weight_gradient(&shape, &wide(&x), &wide(&cotangent))),
        relative(&gb, &bias_truth),
    ];
    assert!(errors.iter().all(|&error| error <= bound), "{shape:?}: {errors:?}");
    let new = shape.value(context, &x, &weight, Some(&bias)).unwrap();
    assert!(new == y, "{shape:?}: in new memory");
    let new = shape.adjoint(context, &cotangent, &weight).unwrap();
    assert!(new == gx, "{shape:?}: in new memory");
}

#[test]
fn gradients_are_added_to_what_is_there() {
    let shape = shape((2, 3, 4), [5, 5], 3, 1, 1);
    let [x, weight, bias, cotangent] = arrays(&shape);
    let (mut once, mut bias_once) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    let context = &Context::new();
    shape.weight_gradient(context, &x, &cotangent, &mut once, Some(&mut bias_once)).unwrap();
    let (mut added, mut bias_added) = (vec![1.0; weight.len()], vec![1.0; bias.len()]);
    shape.weight_gradient(context, &x, &cotangent, &mut added, Some(&mut bias_added)).unwrap();
    assert!(once.iter().zip(&added).all(|(once, added)| *added == 1.0 + once));
    assert!(bias_once.iter().zip(&bias_added).all(|(once, added)| *added == 1.0 + once));
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let direct = shape((33, 16, 16), [32, 32], 3, 1, 1);
    for algorithm in Algorithm::ALL {
        check_threads(ConvolutionKernel { algorithm, ..direct });
    }
}

#[test]
fn two_halves_of_a_batch_give_the_bits_of_the_whole() {
    let square = shape((21, 16, 16), [32, 32], 3, 1, 1);
    for algorithm in Algorithm::ALL {
        check_halves(ConvolutionKernel { algorithm, ..square });
    }
    check_halves(shape((13, 6, 10), [17, 9], 5, 2, 2));
}

fn check_halves(shape: ConvolutionKernel) {
    let [x, weight, bias, cotangent] = arrays(&shape);
    let (x_image, y_image) = (x.len() / shape.images, cotangent.len() / shape.images);
    let run = |images: std::ops::Range<usize>, count: usize, threads: usize| {
        let microbatches = Microbatches::new(count).unwrap();
        let context = Context::builder().threads(threads).microbatches(Some(microbatches));
        let context = &context.build().unwrap();
        let own = ConvolutionKernel { images: images.len(), ..shape };
        let (mut gw, mut gb) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
        let x = &x[images.start * x_image..images.end * x_image];
        let y = &cotangent[images.start * y_image..images.end * y_image];
        own.weight_gradient(context, x, y, &mut gw, Some(&mut gb)).unwrap();
        [gw, gb].concat()
    };
    let middle = shape.images.div_ceil(2);
    let whole = run(0..shape.images, 8, 2);
    let halves = (run(0..middle, 4, 1), run(middle..shape.images, 4, 3));
    let sums = halves.0.iter().zip(&halves.1).map(|(a, b)| a + b);
    assert!(sums.eq(whole.iter().copied()), "{shape:?}");
    assert!(whole != run(0..shape.images, 1, 2), "{shape:?}: the order does not show");
}

fn check_threads(shape: ConvolutionKernel) {
    let [x, weight, bias, cotangent] = arrays(&shape);
    let run = |threads: usize| {
        let context = &Context::builder().threads(threads).build().unwrap();
        let y = shape.value(context, &x, &weight, Some(&bias)).unwrap();
        let gx = shape.adjoint(context, &cotangent, &weight).unwrap();
        let (mut gw, mut gb) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
        shape.weight_gradient(context, &x, &cotangent, &mut gw, Some(&mut gb)).unwrap();
        (y, gx, gw, gb)
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{shape:?}: {threads} threads give other bits");
    }
}

#[test]
fn impossible_shapes_are_named() {
    let valid = shape((1, 4, 4), [5, 5], 3, 1, 1);
    let kernel = valid.kernel;
    let refused = [
        (
            ConvolutionKernel { groups: 3, ..valid },
            Error::Groups { what: "input", channels: 4, groups: 3 },
        ),
        (
            ConvolutionKernel { outputs: 3, groups: 2, ..valid },
            Error::Groups { what: "output", channels: 3, groups: 2 },
        ),
        (
            ConvolutionKernel { groups: 0, ..valid },
            Error::Groups { what: "input", channels: 4, groups: 0 },
        ),
        (
            ConvolutionKernel { stride: [0, 1], ..valid },
            Error::EmptyKernel { kernel, stride: [0, 1] },
        ),
        (
            ConvolutionKernel { size: [1, 5], padding: [0, 1], ..valid },
            Error::LargeKernel { kernel, size: [1, 5], padding: [0, 1] },
        ),
        (
            ConvolutionKernel { size: [0, 5], padding: [2, 2], ..valid },
            Error::EmptyImage { size: [0, 5] },
        ),
    ];
    for (shape, error) in refused {
        assert_eq!(shape.output_size(), Err(error.clone()));
        let context = &Context::new();
        assert_eq!(shape.value(context, &[], &[], None), Err(error.clone()));
        assert_eq!(shape.adjoint(context, &[], &[]), Err(error.clone()));
        assert_eq!(shape.weight_gradient(context, &[], &[], &mut [], None), Err(error));
    }
}

#[test]
fn arrays_of_other_lengths_are_named() {
    let shape = shape((2, 3, 4), [5, 5], 3, 1, 1);
    let [x, weight, bias, cotangent] = arrays(&shape);
    let context = &Context::new();
    let long = |array: &[f32]| [array, &[0.0]].concat();
    let refused = [
        (shape.value(context, &long(&x), &weight, Some(&bias)), "input x", x.len()),
        (shape.value(context, &x, &long(&weight), Some(&bias)), "weight", weight.len()),
        (shape.value(context, &x, &weight, Some(&long(&bias))), "bias", bias.len()),
        (shape.adjoint(context, &long(&cotangent), &weight), "output y", cotangent.len()),
    ];
    for (result, name, len) in refused {
        let Err(Error::Length { what, expected, found }) = result else { panic!("{result:?}") };
        assert!(what.contains(name) && expected == len && found == len + 1, "{what}");
    }
}
