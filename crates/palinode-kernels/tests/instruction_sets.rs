//! Every instruction set of this machine against the f64 reference, and beside each other.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::recurrence::{Term, Update};
use palinode_kernels::reference::{self, Recurrence, Shape};
use palinode_kernels::unit::{Gradients, Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Form, Isa, Precision};
use std::sync::Barrier;
use support::{noise, relative, wide};

/// Largest relative errors of state, reconstruction, state gradient and parameter gradient.
fn unit_errors(context: &Context, shape: Shape, algorithm: Algorithm) -> [f64; 4] {
    let (blocks, channels) = (2, shape.channels);
    let residual = shape.kernel_len() + channels;
    let parameters = noise(2 * blocks * residual, 1, 0.1 / (channels as f64).sqrt());
    let residuals =
        parameters.chunks(residual).map(|residual| residual.split_at(residual.len() - channels));
    let (kernels, biases): (Vec<&[f32]>, Vec<&[f32]>) = residuals.unzip();
    let (kernels, biases) = (kernels.concat(), biases.concat());
    let updates: Vec<Update> = (0..blocks)
        .map(|j| Update::TwoStream {
            first: Term::new(0.25, 2 * j),
            second: Term::new(-0.25, 2 * j + 1),
        })
        .collect();
    let [y, z, gy, gz] = [3, 4, 5, 6].map(|seed| noise(shape.len(), seed, 1.0));
    let twin = reference::ReferenceUnit::<f64> {
        recurrence: Recurrence::Verlet,
        form: Form::Symmetric,
        activation: Activation::Relu,
        step: 0.25,
        shape,
        blocks,
        kernels: wide(&kernels),
        biases: wide(&biases),
        input_biases: vec![0.0; biases.len()],
    };
    let last = twin.forward((wide(&y), wide(&z)));
    let gradients = twin.backward((wide(&y), wide(&z)), (wide(&gy), wide(&gz)));
    let unit = UnitKernel {
        form: Form::Symmetric,
        activation: Activation::Relu,
        algorithm,
        gradients: Precision::F32,
        grid: None,
        images: shape.batch,
        channels,
        height: shape.height,
        width: shape.width,
        updates: &updates,
        parameters: &Parameters::split(&parameters, channels, false).unwrap(),
    };
    let (mut first, mut second) = (y.clone(), z.clone());
    unit.forward(context, StateSlices::Apart(&mut first, &mut second)).unwrap();
    let state = relative(&first, &last.0).max(relative(&second, &last.1));
    let (mut g_first, mut g_second) = (gy, gz);
    let mut found = vec![0.0; parameters.len()];
    unit.backward(
        context,
        StateSlices::Apart(&mut first, &mut second),
        StateSlices::Apart(&mut g_first, &mut g_second),
        Gradients::split(&mut found, channels, false).unwrap(),
    )
    .unwrap();
    let kernels: Vec<f32> =
        found.chunks(residual).flat_map(|r| r[..residual - channels].to_vec()).collect();
    [
        state,
        relative(&first, &wide(&y)).max(relative(&second, &wide(&z))),
        relative(&g_first, &gradients.start.0).max(relative(&g_second, &gradients.start.1)),
        relative(&kernels, &gradients.kernels),
    ]
}

fn convolution_errors(context: &Context, shape: &ConvolutionKernel) -> [f64; 3] {
    let [rows, columns] = shape.output_size().unwrap();
    let x = noise(shape.images * shape.inputs * shape.size[0] * shape.size[1], 1, 1.0);
    let weight = noise(shape.outputs * shape.inputs * shape.kernel[0] * shape.kernel[1], 2, 0.1);
    let cotangent = noise(shape.images * shape.outputs * rows * columns, 3, 1.0);
    let (mut y, mut gx, mut gw) =
        (vec![0.0; cotangent.len()], vec![0.0; x.len()], vec![0.0; weight.len()]);
    shape.value_into(context, &x, &weight, None, &mut y).unwrap();
    shape.adjoint_into(context, &cotangent, &weight, &mut gx).unwrap();
    shape.weight_gradient(context, &x, &cotangent, &mut gw, None).unwrap();
    [
        relative(&y, &reference::convolve(shape, &wide(&weight), &wide(&x))),
        relative(&gx, &reference::adjoint(shape, &wide(&weight), &wide(&cotangent))),
        relative(&gw, &reference::weight_gradient(shape, &wide(&x), &wide(&cotangent))),
    ]
}

#[test]
fn every_instruction_set_agrees_with_the_reference() {
    assert!(Isa::Portable.is_available());
    for isa in Isa::ALL {
        let context = match Context::builder().isa(isa).build() {
            Ok(context) => context,
            Err(error) => {
                println!("not tested: {error}");
                continue;
            }
        };
        for (batch, channels, height, width) in [(2, 3, 5, 9), (3, 17, 6, 6), (2, 40, 8, 7)] {
            let shape = Shape { batch, channels, height, width };
            for algorithm in Algorithm::ALL {
                let errors = unit_errors(&context, shape, algorithm);
                let fits = errors.iter().all(|&error| error <= 1e-5);
                assert!(fits, "{isa} {algorithm} {shape:?}: {errors:?}");
            }
            let convolution = ConvolutionKernel {
                outputs: channels + 5,
                stride: [2, 2],
                kernel: [5, 5],
                padding: [2, 2],
                ..shape.convolution()
            };
            let errors = convolution_errors(&context, &convolution);
            assert!(errors.iter().all(|&error| error <= 2e-6), "{isa} {convolution:?}: {errors:?}");
        }
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    for isa in Isa::ALL {
        assert_eq!(isa.name().parse(), Ok(isa));
    }
    let message = "sse9".parse::<Isa>().unwrap_err().to_string();
    assert!(message.contains("amx, avx512, avx2, neon, portable"), "{message}");
}

/// A run that never used AMX can go on on a machine without it.
#[test]
fn results_in_f32_do_not_name_amx() {
    assert_eq!(Isa::Amx.for_gradients(Precision::F32), Isa::Avx512);
    assert_eq!(Isa::Amx.for_gradients(Precision::Bf16), Isa::Amx);
    assert_eq!(Isa::Avx2.for_gradients(Precision::F32), Isa::Avx2);
}

/// Results of a unit and of a convolution.
fn results(context: &Context) -> Vec<Vec<f32>> {
    let shape = Shape { batch: 7, channels: 20, height: 13, width: 14 };
    let parameters = noise(2 * (shape.kernel_len() + shape.channels), 1, 0.03);
    let updates = [Update::TwoStream { first: Term::new(0.25, 0), second: Term::new(-0.25, 1) }];
    let unit = UnitKernel {
        images: shape.batch,
        channels: shape.channels,
        height: shape.height,
        width: shape.width,
        form: Form::Symmetric,
        activation: Activation::Relu,
        algorithm: Algorithm::Winograd4,
        gradients: Precision::F32,
        grid: None,
        updates: &updates,
        parameters: &Parameters::split(&parameters, shape.channels, false).unwrap(),
    };
    let [mut state, mut gradient] = [2, 3].map(|seed| noise(2 * shape.len(), seed, 1.0));
    let mut found = vec![0.0; parameters.len()];
    unit.forward(context, StateSlices::Joined(&mut state)).unwrap();
    unit.backward(
        context,
        StateSlices::Joined(&mut state),
        StateSlices::Joined(&mut gradient),
        Gradients::split(&mut found, shape.channels, false).unwrap(),
    )
    .unwrap();
    let x = noise(shape.len(), 4, 1.0);
    let y = shape.convolution().value(context, &x, &parameters[..shape.kernel_len()], None);
    vec![state, gradient, found, y.unwrap()]
}

#[test]
fn two_contexts_at_work_at_the_same_time_give_the_bits_that_each_gives_alone() {
    let isas: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect();
    if isas.len() < 2 {
        println!("not tested: this machine has no second instruction set");
        return;
    }
    let alone: Vec<_> = isas
        .iter()
        .map(|&isa| results(&Context::builder().isa(isa).threads(1).build().unwrap()))
        .collect();
    let (best, portable) = (&alone[0], &alone[isas.len() - 1]);
    assert!(best != portable, "the instruction sets cannot be told apart by their bits");
    let start = Barrier::new(isas.len());
    std::thread::scope(|scope| {
        for (&isa, alone) in isas.iter().zip(&alone) {
            let start = &start;
            scope.spawn(move || {
                let context = Context::builder().isa(isa).threads(2).build().unwrap();
                start.wait();
                for _ in 0..5 {
                    assert!(results(&context) == *alone, "{isa}: other bits beside other contexts");
                }
            });
        }
    });
}
