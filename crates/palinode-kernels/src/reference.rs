//! The naive twin of every fast path: a whole unit by plain loops, all states stored.
//!
//! Nothing here is shared with the library's tensor code: the formulas are written out a second
//! time, from the paper, so that an error in one of the two cannot hide.

mod convolution;
mod inception;
mod recurrence;
mod residual;

pub use convolution::{adjoint, convolve, weight_gradient};
pub use inception::{inception, inception_adjoint, inception_gradients};
pub use recurrence::Recurrence;
pub use residual::{Residual, ResidualGradient};

use crate::activation::Activation;
use crate::algorithm::Algorithm;
use crate::convolution::Convolution;
use crate::form::Form;
use num_traits::Float;

/// Extent of one stream's state, row-major `[batch, channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Channels of one stream (c for two streams, C for one state).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Number of elements of a state.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.height * self.width
    }

    /// The shape of a residual's K: 3×3, stride 1, zero padding 1, as many outputs as inputs.
    pub fn convolution(&self) -> Convolution {
        Convolution {
            images: self.batch,
            inputs: self.channels,
            outputs: self.channels,
            size: [self.height, self.width],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            groups: 1,
            algorithm: Algorithm::Direct,
        }
    }

    /// Whether a state has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of elements of one 3×3 kernel `[channels, channels, 3, 3]`.
    pub fn kernel_len(&self) -> usize {
        self.channels * self.channels * 9
    }
}

/// State of a unit: (Y, Z) for two streams, (X_{j−1}, X_j) for the two-step recurrences.
pub type ReferenceState<T> = (Vec<T>, Vec<T>);

/// One unit: `blocks` blocks of one recurrence at one width.
///
/// Arrays are row-major with r residuals per block ([`Recurrence::residuals_per_block`]):
/// `kernels` is `[blocks, r, c, c, 3, 3]`, `biases` and `input_biases` are `[blocks, r, c]`.
#[derive(Clone, Debug)]
pub struct ReferenceUnit<T> {
    /// How blocks follow each other.
    pub recurrence: Recurrence,
    /// What a residual computes.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// h.
    pub step: T,
    /// Extent of one stream's state.
    pub shape: Shape,
    /// N.
    pub blocks: usize,
    /// K.
    pub kernels: Vec<T>,
    /// b.
    pub biases: Vec<T>,
    /// a, added to the argument before K (zeros where a layout has none).
    pub input_biases: Vec<T>,
}

/// Gradient of a scalar loss through a unit, laid out as the unit's arrays.
#[derive(Clone, Debug)]
pub struct ReferenceGradient<T> {
    /// With respect to the state before the first block.
    pub start: ReferenceState<T>,
    /// With respect to `kernels`.
    pub kernels: Vec<T>,
    /// With respect to `biases`.
    pub biases: Vec<T>,
    /// With respect to `input_biases`.
    pub input_biases: Vec<T>,
}

impl<T: Float> ReferenceUnit<T> {
    /// The state after the last block, from the state before the first.
    ///
    /// # Panics
    /// If an array's length does not fit the shape.
    pub fn forward(&self, start: ReferenceState<T>) -> ReferenceState<T> {
        (0..self.blocks).fold(start, |state, block| self.step(block, &state))
    }

    /// The state before the first block, from the state after the last.
    ///
    /// # Panics
    /// If an array's length does not fit the shape.
    pub fn inverse(&self, end: ReferenceState<T>) -> ReferenceState<T> {
        (0..self.blocks).rev().fold(end, |state, block| self.unstep(block, &state))
    }

    /// The gradient of ⟨cotangent, forward(start)⟩, by the chain rule over stored states.
    ///
    /// # Panics
    /// If an array's length does not fit the shape.
    pub fn backward(
        &self,
        start: ReferenceState<T>,
        cotangent: ReferenceState<T>,
    ) -> ReferenceGradient<T> {
        let mut states = vec![start];
        for block in 0..self.blocks {
            let next = self.step(block, &states[block]);
            states.push(next);
        }
        let mut gradient = ReferenceGradient {
            start: cotangent,
            kernels: vec![T::zero(); self.kernels.len()],
            biases: vec![T::zero(); self.biases.len()],
            input_biases: vec![T::zero(); self.input_biases.len()],
        };
        for block in (0..self.blocks).rev() {
            self.pull_back(block, &states[block], &mut gradient);
        }
        gradient
    }

    /// Residual `index` (counted over the whole unit).
    pub(crate) fn residual(&self, index: usize) -> Residual<'_, T> {
        let (k, c) = (self.shape.kernel_len(), self.shape.channels);
        Residual {
            form: self.form,
            activation: self.activation,
            shape: self.shape,
            kernel: &self.kernels[index * k..(index + 1) * k],
            bias: &self.biases[index * c..(index + 1) * c],
            input_bias: &self.input_biases[index * c..(index + 1) * c],
        }
    }
}
