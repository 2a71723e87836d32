//! The inception map and residual against the reference: many shapes, every instruction set, several numbers of
//! threads, and NaN around the inputs.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use palinode_kernels::inception::{Arrays, EXTENTS, InceptionKernel, InceptionResidual};
use palinode_kernels::reference::{inception, inception_adjoint, inception_gradients};
use palinode_kernels::{Activation, Context, Isa, Microbatches};
use support::{noise, relative, relative_to, wide};

/// Numbers between NaN, which would spoil the results if they were read.
struct Fenced(Vec<f32>);

impl Fenced {
    fn new(count: usize, seed: u64, scale: f64) -> Self {
        let fence = [f32::NAN; 37];
        Self([&fence[..], &noise(count, seed, scale), &fence].concat())
    }

    fn inner(&self) -> &[f32] {
        &self.0[37..self.0.len() - 37]
    }
}

fn shapes() -> Vec<InceptionKernel> {
    let mut shapes = Vec::new();
    for group in [1, 2, 3, 4, 5, 8, 14, 16, 27] {
        for size in [[1, 1], [2, 3], [7, 7], [8, 8], [5, 17], [16, 16], [32, 32], [3, 33]] {
            if group * size[0] * size[1] <= 8 * 1024 {
                let images = if size[0] > 8 { 2 } else { 6 };
                shapes.push(InceptionKernel { images, group, size });
            }
        }
    }
    shapes
}

/// Random arrays of a shape: two of images, kernels and biases.
struct Numbers {
    x: Fenced,
    y: Fenced,
    kernels: Arrays<Fenced>,
    biases: Arrays<Fenced>,
}

impl Numbers {
    fn of(InceptionKernel { images, group, size }: InceptionKernel) -> Self {
        let count = images * 4 * group * size[0] * size[1];
        let kernel = |k: usize| {
            let taps = EXTENTS[k] * EXTENTS[k];
            Fenced::new(group * group * taps, 3 + k as u64, 1.0 / ((group * taps) as f64).sqrt())
        };
        Self {
            x: Fenced::new(count, 1, 1.0),
            y: Fenced::new(count, 2, 1.0),
            kernels: std::array::from_fn(kernel),
            biases: std::array::from_fn(|k| Fenced::new(group, 9 + k as u64, 0.3)),
        }
    }
}

fn check(context: &Context, shape: InceptionKernel) {
    let InceptionKernel { images, group, size } = shape;
    let Numbers { x, y, kernels, biases } = Numbers::of(shape);
    let (kernels, biases) =
        (kernels.each_ref().map(Fenced::inner), biases.each_ref().map(Fenced::inner));
    let (wide_kernels, wide_biases) = (kernels.map(wide), biases.map(wide));
    let (wide_x, wide_y) = (wide(x.inner()), wide(y.inner()));

    // Rounding errors of a sum grow like a random walk. This is twice its expected error over the longest sum, of
    // 25g + g terms.
    let bound = 2.0 * 2.0_f64.powi(-24) * (26.0 * group as f64).sqrt();
    let value = shape.value(context, x.inner(), &kernels, Some(&biases)).unwrap();
    let error = relative(&value, &inception(&shape, &wide_kernels, &wide_biases, &wide_x));
    assert!(error < bound, "{shape:?}: Ax + b {error:e}");
    let zeros = wide_biases.each_ref().map(|bias| vec![0.0; bias.len()]);
    let linear = shape.value(context, x.inner(), &kernels, None).unwrap();
    let error = relative(&linear, &inception(&shape, &wide_kernels, &zeros, &wide_x));
    assert!(error < bound, "{shape:?}: Ax {error:e}");
    let back = shape.adjoint(context, y.inner(), &kernels).unwrap();
    let error = relative(&back, &inception_adjoint(&shape, &wide_kernels, &wide_y));
    assert!(error < bound, "{shape:?}: Aᵀy {error:e}");

    for (given, truth) in [(Some(&biases), &wide_biases), (None, &zeros)] {
        let found = shape.gradients(context, x.inner(), y.inner(), &kernels, given).unwrap();
        let expected = inception_gradients(&shape, &wide_kernels, truth, &wide_x, &wide_y);
        // Sums over all pixels may cancel. Errors are relative to the typical size of such a sum, √pixels for numbers
        // of size 1, if that is larger.
        let typical = ((images * size[0] * size[1]) as f64).sqrt();
        for which in 0..EXTENTS.len() {
            let error = relative_to(typical, &found.kernels[which], &expected.0[which]);
            assert!(error < 2e-6, "{shape:?}: kernel {which} {error:e}");
            let error = relative_to(typical, &found.biases[which], &expected.1[which]);
            assert!(error < 2e-6, "{shape:?}: bias {which} {error:e}");
        }
    }
}

#[test]
fn every_shape_on_every_instruction_set_is_the_reference() {
    for isa in Isa::ALL {
        match Context::builder().isa(isa).build() {
            Ok(context) => shapes().into_iter().for_each(|shape| check(&context, shape)),
            Err(error) => println!("not tested: {error}"),
        }
    }
}

/// F(x) = Aᵀσ(Ax + b), Jᵀv = Aᵀδ with δ = σ′(Ax + b) ⊙ Av, and the gradients of ⟨Av, h⟩ + ⟨δ, Ax + b⟩.
fn check_residual(shape: InceptionKernel, activation: Activation) {
    let InceptionKernel { images, group, size } = shape;
    let Numbers { x, y: v, kernels, biases } = Numbers::of(shape);
    let (kernels, biases) =
        (kernels.each_ref().map(Fenced::inner), biases.each_ref().map(Fenced::inner));
    let (wide_kernels, wide_biases) = (kernels.map(wide), biases.map(wide));
    let zeros = wide_biases.each_ref().map(|bias| vec![0.0; bias.len()]);
    let (wide_x, wide_v) = (wide(x.inner()), wide(v.inner()));
    let pre = inception(&shape, &wide_kernels, &wide_biases, &wide_x);
    // If rounding changes the sign of an argument of ReLU, the gradient jumps; that is not an error.
    let near = pre.iter().any(|&a| activation == Activation::Relu && a.abs() < 1e-5);
    if near {
        println!("not tested: {shape:?} with {activation:?} has a pre-activation near 0");
        return;
    }
    let hidden: Vec<f64> = pre.iter().map(|&a| activation.apply(a)).collect();
    let of_hidden = inception(&shape, &wide_kernels, &zeros, &wide_v);
    let pairs = pre.iter().zip(&of_hidden);
    let delta: Vec<f64> = pairs.map(|(&a, u)| activation.derivative(a) * u).collect();

    let residual = InceptionResidual { shape, kernels, biases, activation };
    let context = &Context::new();
    let vjp = residual.vjp(context, x.inner(), v.inner()).unwrap();
    let value = residual.value(context, x.inner()).unwrap();
    assert_eq!(value, vjp.value, "{shape:?}: another value with the gradients");
    let bound = 4.0 * 2.0_f64.powi(-24) * (26.0 * group as f64).sqrt();
    for (what, found, truth) in [
        ("F", &vjp.value, inception_adjoint(&shape, &wide_kernels, &hidden)),
        ("Jᵀv", &vjp.input, inception_adjoint(&shape, &wide_kernels, &delta)),
    ] {
        let error = relative(found, &truth);
        assert!(error < bound, "{shape:?} {activation:?}: {what} {error:e}");
    }
    let first = inception_gradients(&shape, &wide_kernels, &zeros, &wide_v, &hidden).0;
    let second = inception_gradients(&shape, &wide_kernels, &wide_biases, &wide_x, &delta);
    let typical = ((images * size[0] * size[1]) as f64).sqrt();
    for (which, first) in first.iter().enumerate() {
        let sums = first.iter().zip(&second.0[which]);
        let truth: Vec<f64> = sums.map(|(a, b)| a + b).collect();
        let error = relative_to(typical, &vjp.parameters.kernels[which], &truth);
        assert!(error < 4e-6, "{shape:?} {activation:?}: kernel {which} {error:e}");
        let error = relative_to(typical, &vjp.parameters.biases[which], &second.1[which]);
        assert!(error < 4e-6, "{shape:?} {activation:?}: bias {which} {error:e}");
    }
}

#[test]
fn residuals_are_the_reference_in_one_pass() {
    for activation in Activation::ALL {
        for shape in shapes().into_iter().filter(|shape| shape.size[0] <= 16) {
            check_residual(shape, activation);
        }
    }
}

#[test]
fn two_halves_of_a_batch_give_the_bits_of_the_whole() {
    let whole = InceptionKernel { images: 23, group: 5, size: [9, 8] };
    let image = 20 * 72;
    let (x, y) = (noise(23 * image, 1, 1.0), noise(23 * image, 2, 1.0));
    let kernels: Arrays<Vec<f32>> =
        std::array::from_fn(|k| noise(25 * EXTENTS[k] * EXTENTS[k], 3 + k as u64, 0.2));
    let biases: Arrays<Vec<f32>> = std::array::from_fn(|k| noise(5, 13 + k as u64, 0.2));
    let run = |images: std::ops::Range<usize>, count: usize, threads: usize| {
        let microbatches = Microbatches::new(count).unwrap();
        let context = Context::builder().threads(threads).microbatches(Some(microbatches));
        let context = &context.build().unwrap();
        let shape = InceptionKernel { images: images.len(), ..whole };
        let kernels = kernels.each_ref().map(Vec::as_slice);
        let biases = biases.each_ref().map(Vec::as_slice);
        let own = images.start * image..images.end * image;
        let map = shape.gradients(context, &x[own.clone()], &y[own.clone()], &kernels, None);
        let activation = Activation::Relu;
        let residual = InceptionResidual { shape, kernels, biases, activation };
        let vjp = residual.vjp(context, &x[own.clone()], &y[own]).unwrap();
        let all = [map.unwrap(), vjp.parameters];
        let all = all.into_iter().flat_map(|of| of.kernels.into_iter().chain(of.biases));
        (all.flatten().collect::<Vec<f32>>(), [vjp.value, vjp.input])
    };
    let (sums, images) = run(0..23, 8, 2);
    let (first, first_images) = run(0..12, 4, 1);
    let (second, second_images) = run(12..23, 4, 3);
    assert!(sums.iter().zip(first.iter().zip(&second)).all(|(sum, (a, b))| *sum == a + b));
    for (whole, (a, b)) in images.iter().zip(first_images.iter().zip(&second_images)) {
        assert!(*whole == [&a[..], b].concat());
    }
    assert!(sums != run(0..23, 1, 2).0, "the order does not show");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let shape = InceptionKernel { images: 23, group: 5, size: [9, 8] };
    let count = 23 * 20 * 72;
    let (x, y) = (noise(count, 1, 1.0), noise(count, 2, 1.0));
    let kernels: Arrays<Vec<f32>> =
        std::array::from_fn(|k| noise(25 * EXTENTS[k] * EXTENTS[k], 3 + k as u64, 0.2));
    let run = |threads: usize| {
        let context = &Context::builder().threads(threads).build().unwrap();
        let kernels = kernels.each_ref().map(Vec::as_slice);
        let value = shape.value(context, &x, &kernels, None).unwrap();
        (value, shape.gradients(context, &x, &y, &kernels, None).unwrap())
    };
    let one = run(1);
    assert!(one == run(2) && one == run(5));
}
