//! Random shapes with guard numbers around every array that a kernel is given. No guard may change, and every
//! result must be the reference's.
#![allow(clippy::unwrap_used)]

mod support;

use palinode_kernels::convolution::Convolution;
use palinode_kernels::recurrence::{Drift, Term, Update};
use palinode_kernels::reference::{
    self, Recurrence, ReferenceGradient, ReferenceState, ReferenceUnit, Shape, adjoint, convolve,
    weight_gradient,
};
use palinode_kernels::unit::{Gradients, Parameters, State, Unit};
use palinode_kernels::{Activation, Algorithm, Context, Form, Precision};
use proptest::prelude::*;
use std::ops::Range;
use support::{noise, relative, relative_to, wide};

const GUARD: f32 = 1234.5;
const MARGIN: usize = 37;

/// An array between two margins of guard numbers, so that it begins on no boundary of anything.
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

/// Those that this machine has.
fn precision() -> impl Strategy<Value = Precision> {
    let context = Context::new();
    let there = Precision::ALL.into_iter().filter(|precision| context.check(*precision).is_ok());
    prop::sample::select(there.collect::<Vec<_>>())
}

/// A unit of two blocks and a random input, with guard numbers around all of its arrays.
#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    recurrence: Recurrence,
    form: Form,
    activation: Activation,
    algorithm: Algorithm,
    precision: Precision,
    input_bias: bool,
}

const BLOCKS: usize = 2;
const STEP: f64 = 0.1;

impl Case {
    fn updates(&self) -> Vec<Update> {
        let update = |j: usize| match self.recurrence {
            Recurrence::Midpoint => {
                let scale = if j == 0 { STEP } else { 2.0 * STEP };
                Update::TwoStep { drift: Drift::Previous, residual: Term::new(scale, j) }
            }
            Recurrence::Leapfrog => {
                let residual = Term::new(-STEP * STEP, j);
                Update::TwoStep { drift: Drift::Extrapolated, residual }
            }
            _ => Update::TwoStream {
                first: Term::new(STEP, 2 * j),
                second: Term::new(-STEP, 2 * j + 1),
            },
        };
        (0..BLOCKS).map(update).collect()
    }

    /// The naive twin, with parameters as the unit has them: K, b and perhaps a of every residual.
    fn twin(&self, parameters: &[f32]) -> ReferenceUnit<f64> {
        let (c, kernel) = (self.shape.channels, self.shape.kernel_len());
        let residuals = BLOCKS * self.recurrence.residuals_per_block();
        let each: Vec<&[f32]> = parameters.chunks(parameters.len() / residuals).collect();
        let joined = |range: Range<usize>| -> Vec<f64> {
            each.iter().flat_map(|residual| wide(&residual[range.clone()])).collect()
        };
        ReferenceUnit {
            recurrence: self.recurrence,
            form: self.form,
            activation: self.activation,
            step: STEP,
            shape: self.shape,
            blocks: BLOCKS,
            kernels: joined(0..kernel),
            biases: joined(kernel..kernel + c),
            input_biases: match self.input_bias {
                true => joined(kernel + c..kernel + 2 * c),
                false => vec![0.0; residuals * c],
            },
        }
    }

    /// Compares everything that a backward pass gives with the naive twin, and the guards with what they
    /// were.
    fn check(&self) -> Result<(), TestCaseError> {
        let Self { shape, form, activation, algorithm, input_bias, .. } = *self;
        let vectors = if input_bias { 2 } else { 1 };
        let residuals = BLOCKS * self.recurrence.residuals_per_block();
        let len = residuals * (shape.kernel_len() + vectors * shape.channels);
        let [start, cotangent] = [2, 3].map(|seed| noise(2 * shape.len(), seed, 1.0));
        let mut parameters = Guarded::new(&noise(len, 1, 0.1));
        let mut state = Guarded::new(&start);
        let mut gradient = Guarded::new(&cotangent);
        let mut gradients = Guarded::new(&vec![0.0; len]);
        let twin = self.twin(parameters.inner());
        let unit = Unit {
            images: shape.batch,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            form,
            activation,
            algorithm,
            gradients: self.precision,
            updates: &self.updates(),
            parameters: &Parameters::split(parameters.inner(), shape.channels, input_bias).unwrap(),
        };
        let context = Context::new();
        unit.forward(&context, State::Joined(state.inner())).unwrap();
        let end = state.checked().to_vec();
        unit.backward(
            &context,
            State::Joined(state.inner()),
            State::Joined(gradient.inner()),
            Gradients::split(gradients.inner(), shape.channels, input_bias).unwrap(),
        )
        .unwrap();
        let (found, found_gradients) = (gradient.checked(), gradients.checked());
        prop_assert!(relative(state.checked(), &wide(&start)) < 1e-5, "the reconstruction");

        let start = apart(&start, shape);
        let truth = joined(twin.forward(start.clone()), shape);
        prop_assert!(relative(&end, &truth) < 1e-5, "the state");
        // A sign of ReLU that rounding changes is a jump of the gradient, not an error.
        prop_assume!(activation != Activation::Relu || !is_near_a_kink(&twin, &start));
        let truth = twin.backward(start, apart(&cotangent, shape));
        // Sums over all pixels may cancel: errors are relative to the largest value, or to what such a sum is
        // in the mean if that is larger.
        let typical = STEP * ((shape.batch * shape.height * shape.width) as f64).sqrt();
        let bounds = match self.precision {
            Precision::F32 => [1e-5, 1e-5],
            Precision::Bf16 => [0.02, 0.05],
        };
        let error = relative(found, &joined(truth.start.clone(), shape));
        prop_assert!(error < bounds[0], "the gradient of the state: {error:e}");
        let error = relative_to(typical, found_gradients, &self.parameters(&truth));
        prop_assert!(error < bounds[1], "the gradients of the parameters: {error:e}");
        Ok(())
    }

    /// The gradients with respect to the parameters, in the order of the unit's.
    fn parameters(&self, gradient: &ReferenceGradient<f64>) -> Vec<f64> {
        let c = self.shape.channels;
        let kernels = gradient.kernels.chunks(self.shape.kernel_len());
        let vectors = gradient.biases.chunks(c).zip(gradient.input_biases.chunks(c));
        let residuals = kernels.zip(vectors).map(|(kernel, (bias, input_bias))| {
            [kernel, bias, if self.input_bias { input_bias } else { &[] }].concat()
        });
        residuals.flatten().collect()
    }
}

/// The two parts of a state whose images lie side by side.
fn apart(both: &[f32], shape: Shape) -> ReferenceState<f64> {
    let image = shape.len() / shape.batch;
    let parts = |part: usize| -> Vec<f64> {
        both.chunks(2 * image).flat_map(|both| wide(&both[part * image..][..image])).collect()
    };
    (parts(0), parts(1))
}

/// The inverse of [`apart`].
fn joined((first, second): ReferenceState<f64>, shape: Shape) -> Vec<f64> {
    let image = shape.len() / shape.batch;
    let parts = first.chunks(image).zip(second.chunks(image));
    parts.flat_map(|(first, second)| [first, second].concat()).collect()
}

/// Whether an argument of σ is so near to 0 that rounding may change its sign.
fn is_near_a_kink(unit: &ReferenceUnit<f64>, start: &ReferenceState<f64>) -> bool {
    let state = |blocks| ReferenceUnit { blocks, ..unit.clone() }.forward(start.clone());
    let is_near = |index: usize, x: &[f64]| {
        let (c, kernel) = (unit.shape.channels, unit.shape.kernel_len());
        let residual = reference::Residual {
            // tanh of the argument of σ is as near to 0 as the argument is.
            form: if unit.form == Form::Symmetric { Form::Layer } else { unit.form },
            activation: Activation::Tanh,
            shape: unit.shape,
            kernel: &unit.kernels[index * kernel..(index + 1) * kernel],
            bias: &unit.biases[index * c..(index + 1) * c],
            input_bias: &unit.input_biases[index * c..(index + 1) * c],
        };
        residual.value(x, false).iter().any(|argument| argument.abs() < 3e-6)
    };
    (0..unit.blocks).any(|block| match unit.recurrence.residuals_per_block() {
        1 => is_near(block, &state(block).1),
        _ => is_near(2 * block, &state(block).1) || is_near(2 * block + 1, &state(block + 1).0),
    })
}

fn recurrence() -> impl Strategy<Value = Recurrence> {
    prop_oneof![Just(Recurrence::Verlet), Just(Recurrence::Midpoint), Just(Recurrence::Leapfrog)]
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
        input_bias: bool,
    ) {
        let shape = Shape { batch, channels, height, width };
        // Direct sums have no other precision.
        let precision = if algorithm == Algorithm::Direct { Precision::F32 } else { precision };
        let case = Case { shape, recurrence, form, activation, algorithm, precision, input_bias };
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
        check_convolution(Convolution { algorithm, ..shape.convolution() })?;
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
        let shape = Convolution {
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

fn check_convolution(shape: Convolution) -> Result<(), TestCaseError> {
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
