//! Random shapes with guard numbers around every array that a kernel is given. No guard may change, and every
//! result must be the reference's.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod case;
#[path = "../support/mod.rs"]
mod support;

use case::Case;
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::reference::{Recurrence, Shape, adjoint, convolve, weight_gradient};
use palinode_kernels::{Activation, Algorithm, Context, Form, Grid, Precision};
use proptest::prelude::*;
use support::{noise, relative, relative_to, wide};

const GUARD: f32 = 1234.5;
const MARGIN: usize = 37;

/// An array between two margins of guard numbers, which also keep it from beginning on a vector boundary.
struct Guarded(Vec<f32>);

impl Guarded {
    fn new(values: &[f32]) -> Self {
        let margin = [GUARD; MARGIN];
        Self([&margin, values, &margin].concat())
    }

    fn inner(&mut self) -> &mut [f32] {
        let end = self.0.len() - MARGIN;
        &mut self.0[MARGIN..end]
    }

    /// The array, if its margins are what they were.
    fn checked(&self) -> &[f32] {
        let (before, rest) = self.0.split_at(MARGIN);
        let (inner, after) = rest.split_at(rest.len() - MARGIN);
        assert!(before.iter().chain(after).all(|&guard| guard == GUARD), "a guard has changed");
        assert!(inner.iter().all(|value| value.is_finite()), "a result is not finite");
        inner
    }
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Symmetric), Just(Form::Layer), Just(Form::Antisymmetric)]
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Relu), Just(Activation::Tanh), Just(Activation::Softplus)]
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Winograd4), Just(Algorithm::Winograd2), Just(Algorithm::Direct)]
}

/// The precisions that this machine can compute gradients in.
fn precision() -> impl Strategy<Value = Precision> {
    let context = Context::new();
    let there = Precision::ALL.into_iter().filter(|precision| context.check(*precision).is_ok());
    prop::sample::select(there.collect::<Vec<_>>())
}

fn recurrence() -> impl Strategy<Value = Recurrence> {
    let kinds =
        [Recurrence::Verlet, Recurrence::Hamiltonian, Recurrence::Midpoint, Recurrence::Leapfrog];
    prop::sample::select(kinds.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn units_stay_inside_their_arrays_and_are_right(
        (batch, channels) in (1_usize..6, 1_usize..40),
        (height, width) in (1_usize..20, 1_usize..20),
        recurrence in recurrence(),
        form in form(),
        activation in activation(),
        algorithm in algorithm(),
        precision in precision(),
        (input_bias, on_grid) in any::<(bool, bool)>(),
    ) {
        let shape = Shape { batch, channels, height, width };
        // Direct sums have no other precision.
        let precision = if algorithm == Algorithm::Direct { Precision::F32 } else { precision };
        let grid = if on_grid { Grid::new(19).ok() } else { None };
        let case =
            Case { shape, recurrence, form, activation, algorithm, precision, input_bias, grid };
        case.check()?;
    }

    #[test]
    fn square_convolutions_stay_inside_their_arrays_and_are_right(
        (images, channels) in (1_usize..6, 1_usize..40),
        size in (1_usize..20, 1_usize..20),
        algorithm in algorithm(),
    ) {
        let (height, width) = size;
        let shape = Shape { batch: images, channels, height, width };
        check_convolution(ConvolutionKernel { algorithm, ..shape.convolution() })?;
    }

    #[test]
    fn convolutions_stay_inside_their_arrays_and_are_right(
        (images, inputs, outputs) in (1_usize..5, 1_usize..20, 1_usize..20),
        groups in 1_usize..3,
        (height, width) in (1_usize..14, 1_usize..14),
        kernel in (1_usize..6, 1_usize..6),
        stride in (1_usize..4, 1_usize..4),
        padding in (0_usize..4, 0_usize..4),
        algorithm in algorithm(),
    ) {
        let shape = ConvolutionKernel {
            images,
            inputs: inputs * groups,
            outputs: outputs * groups,
            size: [height, width],
            kernel: kernel.into(),
            stride: stride.into(),
            padding: padding.into(),
            groups,
            algorithm,
        };
        check_convolution(shape)?;
    }
}

fn check_convolution(shape: ConvolutionKernel) -> Result<(), TestCaseError> {
    let [rows, columns] = match shape.output_size() {
        Ok(size) => size,
        Err(error) => {
            println!("not tested: {error}");
            return Ok(());
        }
    };
    let (images, [height, width]) = (shape.images, shape.size);
    let bound = if shape.algorithm == Algorithm::Direct { 2e-6 } else { 1e-5 };
    let x = noise(images * shape.inputs * height * width, 1, 1.0);
    let taps = shape.inputs / shape.groups * shape.kernel[0] * shape.kernel[1];
    let weight = noise(shape.outputs * taps, 2, 0.3);
    let gradient = noise(images * shape.outputs * rows * columns, 3, 1.0);
    let mut y = Guarded::new(&vec![9.0; gradient.len()]);
    let mut gx = Guarded::new(&vec![9.0; x.len()]);
    let mut gw = Guarded::new(&vec![0.0; weight.len()]);
    let mut gb = Guarded::new(&vec![0.0; shape.outputs]);
    let mut bias_truth = vec![0.0; shape.outputs];
    for (index, value) in gradient.iter().enumerate() {
        bias_truth[index / (rows * columns) % shape.outputs] += f64::from(*value);
    }
    let context = &Context::new();
    shape.value_into(context, &x, &weight, None, y.inner()).unwrap();
    shape.adjoint_into(context, &gradient, &weight, gx.inner()).unwrap();
    shape.weight_gradient(context, &x, &gradient, gw.inner(), Some(gb.inner())).unwrap();
    let (x, weight, gradient) = (wide(&x), wide(&weight), wide(&gradient));
    prop_assert!(relative(y.checked(), &convolve(&shape, &weight, &x)) < bound);
    prop_assert!(relative(gx.checked(), &adjoint(&shape, &weight, &gradient)) < bound);
    prop_assert!(relative(gw.checked(), &weight_gradient(&shape, &x, &gradient)) < bound);
    let typical = ((images * rows * columns) as f64).sqrt();
    prop_assert!(relative_to(typical, gb.checked(), &bias_truth) < bound);
    Ok(())
}
