//! Every instruction set of this machine against the f64 reference, one process for all of them.
#![allow(clippy::unwrap_used)]

mod support;

use palinode_kernels::convolution::Convolution;
use palinode_kernels::isa::Isa;
use palinode_kernels::reference::{self, Recurrence, Shape};
use palinode_kernels::unit::{Gradients, Parameters, State, Step, Term, Unit};
use palinode_kernels::{Activation, Algorithm, Form, Precision};
use support::{noise, relative, wide};

/// Largest relative errors of state, reconstruction, state gradient and parameter gradient.
fn unit_errors(shape: Shape, algorithm: Algorithm) -> [f64; 4] {
    let (blocks, channels) = (2, shape.channels);
    let residual = shape.kernel_len() + channels;
    let parameters = noise(2 * blocks * residual, 1, 0.1 / (channels as f64).sqrt());
    let residuals =
        parameters.chunks(residual).map(|residual| residual.split_at(residual.len() - channels));
    let (kernels, biases): (Vec<&[f32]>, Vec<&[f32]>) = residuals.unzip();
    let (kernels, biases) = (kernels.concat(), biases.concat());
    let steps: Vec<Step> = (0..blocks)
        .map(|j| Step::TwoStream {
            first: Term::new(0.25, 2 * j),
            second: Term::new(-0.25, 2 * j + 1),
        })
        .collect();
    let [y, z, gy, gz] = [3, 4, 5, 6].map(|seed| noise(shape.len(), seed, 1.0));
    let twin = reference::Unit::<f64> {
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
    let slopes = twin.backward((wide(&y), wide(&z)), (wide(&gy), wide(&gz)));
    let unit = Unit {
        form: Form::Symmetric,
        activation: Activation::Relu,
        algorithm,
        gradients: Precision::F32,
        images: shape.batch,
        channels,
        height: shape.height,
        width: shape.width,
        steps: &steps,
        parameters: &Parameters::split(&parameters, channels, false),
    };
    let (mut first, mut second) = (y.clone(), z.clone());
    unit.forward(State::Apart(&mut first, &mut second));
    let state = relative(&first, &last.0).max(relative(&second, &last.1));
    let (mut g_first, mut g_second) = (gy, gz);
    let mut found = vec![0.0; parameters.len()];
    unit.backward(
        State::Apart(&mut first, &mut second),
        State::Apart(&mut g_first, &mut g_second),
        Gradients::split(&mut found, channels, false),
    );
    let kernels: Vec<f32> =
        found.chunks(residual).flat_map(|r| r[..residual - channels].to_vec()).collect();
    [
        state,
        relative(&first, &wide(&y)).max(relative(&second, &wide(&z))),
        relative(&g_first, &slopes.start.0).max(relative(&g_second, &slopes.start.1)),
        relative(&kernels, &slopes.kernels),
    ]
}

fn convolution_errors(shape: &Convolution) -> [f64; 3] {
    let [rows, columns] = shape.output_size().unwrap();
    let x = noise(shape.images * shape.inputs * shape.size[0] * shape.size[1], 1, 1.0);
    let weight = noise(shape.outputs * shape.inputs * shape.kernel[0] * shape.kernel[1], 2, 0.1);
    let slope = noise(shape.images * shape.outputs * rows * columns, 3, 1.0);
    let (mut y, mut gx, mut gw) =
        (vec![0.0; slope.len()], vec![0.0; x.len()], vec![0.0; weight.len()]);
    shape.forward(&x, &weight, None, &mut y);
    shape.input_gradient(&slope, &weight, &mut gx);
    shape.weight_gradient(&x, &slope, &mut gw, None);
    [
        relative(&y, &reference::convolve(shape, &wide(&weight), &wide(&x))),
        relative(&gx, &reference::adjoint(shape, &wide(&weight), &wide(&slope))),
        relative(&gw, &reference::weight_gradient(shape, &wide(&x), &wide(&slope))),
    ]
}

#[test]
fn every_instruction_set_agrees_with_the_reference() {
    assert!(Isa::Portable.is_available());
    let best = Isa::current();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        isa.select().unwrap();
        assert_eq!(Isa::current(), isa);
        if !matches!(isa, Isa::Amx | Isa::Avx512) {
            let reason = Precision::Bf16.check().unwrap_err();
            assert!(reason.contains("avx512_bf16") && reason.contains(isa.name()), "{reason}");
        }
        for (batch, channels, height, width) in [(2, 3, 5, 9), (3, 17, 6, 6), (2, 40, 8, 7)] {
            let shape = Shape { batch, channels, height, width };
            for algorithm in Algorithm::ALL {
                let errors = unit_errors(shape, algorithm);
                let fits = errors.iter().all(|&error| error <= 1e-5);
                assert!(fits, "{isa} {algorithm} {shape:?}: {errors:?}");
            }
            let convolution = Convolution {
                outputs: channels + 5,
                stride: [2, 2],
                kernel: [5, 5],
                padding: [2, 2],
                ..shape.convolution()
            };
            let errors = convolution_errors(&convolution);
            assert!(errors.iter().all(|&error| error <= 2e-6), "{isa} {convolution:?}: {errors:?}");
        }
    }
    best.select().unwrap();
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        let reason = isa.select().unwrap_err();
        assert!(reason.contains("this machine has no") && reason.contains("portable"), "{reason}");
    }
    assert_eq!("avx2".parse(), Ok(Isa::Avx2));
    // Runs that never used AMX's tiles go on where there are none.
    assert_eq!(Isa::Amx.for_gradients(Precision::F32), Isa::Avx512);
    assert_eq!(Isa::Amx.for_gradients(Precision::Bf16), Isa::Amx);
    assert_eq!(Isa::Avx2.for_gradients(Precision::F32), Isa::Avx2);
    assert!("sse9".parse::<Isa>().unwrap_err().contains("amx, avx512, avx2, neon, portable"));
}
