//! One unit, its guarded arrays and its naive twin.

use crate::Guarded;
use crate::support::{noise, relative, relative_to, updates, wide};
use palinode_kernels::reference::{
    Recurrence, ReferenceGradient, ReferenceResidual, ReferenceState, ReferenceUnit, Shape,
};
use palinode_kernels::unit::{Gradients, Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Form, Grid, Precision};
use proptest::prelude::*;
use std::ops::Range;

/// A unit of two blocks and a random input, with guard numbers around all of its arrays.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub shape: Shape,
    pub recurrence: Recurrence,
    pub form: Form,
    pub activation: Activation,
    pub algorithm: Algorithm,
    pub precision: Precision,
    pub input_bias: bool,
    pub grid: Option<Grid>,
}

const BLOCKS: usize = 2;
const STEP: f64 = 0.1;

impl Case {
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
    pub fn check(&self) -> Result<(), TestCaseError> {
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
        let unit = UnitKernel {
            images: shape.batch,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            form,
            activation,
            algorithm,
            gradients: self.precision,
            grid: self.grid,
            updates: &updates(self.recurrence, BLOCKS, STEP),
            parameters: &Parameters::split(parameters.inner(), shape.channels, input_bias).unwrap(),
        };
        let context = Context::new();
        unit.forward(&context, StateSlices::Joined(state.inner())).unwrap();
        let end = state.checked().to_vec();
        unit.backward(
            &context,
            StateSlices::Joined(state.inner()),
            StateSlices::Joined(gradient.inner()),
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
    let is_near = |index: usize, x: &[f64], conjugate: bool| {
        let (c, kernel) = (unit.shape.channels, unit.shape.kernel_len());
        let residual = ReferenceResidual {
            // tanh of the argument of σ is as near to 0 as the argument is.
            form: if unit.form == Form::Symmetric { Form::Layer } else { unit.form },
            activation: Activation::Tanh,
            shape: unit.shape,
            kernel: &unit.kernels[index * kernel..(index + 1) * kernel],
            bias: &unit.biases[index * c..(index + 1) * c],
            input_bias: &unit.input_biases[index * c..(index + 1) * c],
        };
        residual.value(x, conjugate).iter().any(|argument| argument.abs() < 3e-6)
    };
    (0..unit.blocks).any(|block| {
        let second = state(block).1;
        // In a two-stream block, the second residual is evaluated at the new first part.
        let first = || state(block + 1).0;
        match unit.recurrence {
            Recurrence::Verlet | Recurrence::Coupling => {
                is_near(2 * block, &second, false) || is_near(2 * block + 1, &first(), false)
            }
            Recurrence::Hamiltonian => {
                is_near(block, &second, false) || is_near(block, &first(), true)
            }
            Recurrence::Midpoint | Recurrence::Leapfrog => is_near(block, &second, false),
        }
    })
}
