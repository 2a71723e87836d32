//! A whole unit.

use super::recurrence::Recurrence;
use super::residual::ReferenceResidual;
use super::shape::Shape;
use crate::activation::Activation;
use crate::form::Form;
use num_traits::{Float, NumCast};

/// The state of a unit: (Y, Z) for two streams, (X_{j−1}, X_j) for the two-step recurrences.
pub type ReferenceState<T> = (Vec<T>, Vec<T>);

/// One unit: `blocks` blocks of one recurrence at one width.
///
/// | | |
/// |---|---|
/// | `kernels` | `[blocks, r, c, c, 3, 3]`, row-major as all arrays; r = [`Recurrence::residuals_per_block`] |
/// | `biases`, `input_biases` | `[blocks, r, c]` |
/// | [`forward`](Self::forward) | the state after the last block, from the state before the first |
/// | [`inverse`](Self::inverse) | the state before the first block, from the state after the last |
/// | [`backward`](Self::backward) | all gradients of ⟨cotangent, forward(start)⟩ |
#[derive(Clone, Debug)]
pub struct ReferenceUnit<T> {
    /// How blocks follow each other.
    pub recurrence: Recurrence,
    /// The formula of the residuals.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// h.
    pub step: T,
    /// The extent of one part of the state.
    pub shape: Shape,
    /// N.
    pub blocks: usize,
    /// K.
    pub kernels: Vec<T>,
    /// b.
    pub biases: Vec<T>,
    /// a, which is added to the argument before K; zeros if there is none.
    pub input_biases: Vec<T>,
}

/// The gradient of a scalar loss through a unit. Its arrays have the shapes of the unit's.
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
            self.vjp(block, &states[block], &mut gradient);
        }
        gradient
    }

    /// Residual `index`, counted over the whole unit.
    fn residual(&self, index: usize) -> ReferenceResidual<'_, T> {
        let (k, c) = (self.shape.kernel_len(), self.shape.channels);
        ReferenceResidual {
            form: self.form,
            activation: self.activation,
            shape: self.shape,
            kernel: &self.kernels[index * k..(index + 1) * k],
            bias: &self.biases[index * c..(index + 1) * c],
            input_bias: &self.input_biases[index * c..(index + 1) * c],
        }
    }
}

fn axpy<T: Float>(scale: T, x: &[T], y: &[T]) -> Vec<T> {
    x.iter().zip(y).map(|(&x, &y)| y + scale * x).collect()
}

impl<T: Float> ReferenceUnit<T> {
    /// Scale, index and role of the residuals of a two-stream block: the one that changes Y, and the one that
    /// changes Z.
    fn halves(&self, block: usize) -> [(T, usize, bool); 2] {
        let h = self.step;
        match self.recurrence {
            Recurrence::Verlet => [(h, 2 * block, false), (-h, 2 * block + 1, false)],
            Recurrence::Coupling => {
                [(T::one(), 2 * block, false), (T::one(), 2 * block + 1, false)]
            }
            _ => [(h, block, false), (-h, block, true)],
        }
    }

    /// (p, q, s) of X_{j+1} = pX_j + qX_{j−1} + sF(X_j).
    fn coefficients(&self, block: usize) -> (T, T, T) {
        let two: T = NumCast::from(2).unwrap_or_else(T::one);
        match self.recurrence {
            Recurrence::Midpoint if block == 0 => (T::zero(), T::one(), self.step),
            Recurrence::Midpoint => (T::zero(), T::one(), two * self.step),
            _ => (two, -T::one(), -(self.step * self.step)),
        }
    }

    fn has_two_streams(&self) -> bool {
        !matches!(self.recurrence, Recurrence::Midpoint | Recurrence::Leapfrog)
    }

    fn step(&self, block: usize, (first, second): &ReferenceState<T>) -> ReferenceState<T> {
        if self.has_two_streams() {
            let [(a, f, fc), (b, g, gc)] = self.halves(block);
            let y = axpy(a, &self.residual(f).value(second, fc), first);
            let z = axpy(b, &self.residual(g).value(&y, gc), second);
            (y, z)
        } else {
            let (p, q, s) = self.coefficients(block);
            let value = self.residual(block).value(second, false);
            let next =
                (0..value.len()).map(|i| p * second[i] + q * first[i] + s * value[i]).collect();
            (second.clone(), next)
        }
    }

    fn unstep(&self, block: usize, (first, second): &ReferenceState<T>) -> ReferenceState<T> {
        if self.has_two_streams() {
            let [(a, f, fc), (b, g, gc)] = self.halves(block);
            let z = axpy(-b, &self.residual(g).value(first, gc), second);
            let y = axpy(-a, &self.residual(f).value(&z, fc), first);
            (y, z)
        } else {
            let (p, q, s) = self.coefficients(block);
            let value = self.residual(block).value(first, false);
            // q is 1 or −1, so dividing by it is multiplying by it.
            let previous =
                (0..value.len()).map(|i| q * (second[i] - p * first[i] - s * value[i])).collect();
            (previous, first.clone())
        }
    }

    /// Takes `gradient.start` back through one block, whose state before it is given.
    fn vjp(&self, block: usize, state: &ReferenceState<T>, gradient: &mut ReferenceGradient<T>) {
        let (first, second) = state;
        if self.has_two_streams() {
            let [(a, f, fc), (b, g, gc)] = self.halves(block);
            let y = self.step(block, state).0;
            let scaled: Vec<T> = gradient.start.1.iter().map(|&v| b * v).collect();
            let gx = self.collect(g, &y, &scaled, gc, gradient);
            gradient.start.0 = axpy(T::one(), &gx, &gradient.start.0);
            let scaled: Vec<T> = gradient.start.0.iter().map(|&v| a * v).collect();
            let gx = self.collect(f, second, &scaled, fc, gradient);
            gradient.start.1 = axpy(T::one(), &gx, &gradient.start.1);
        } else {
            debug_assert_eq!(first.len(), second.len());
            let (p, q, s) = self.coefficients(block);
            let scaled: Vec<T> = gradient.start.1.iter().map(|&v| s * v).collect();
            let gx = self.collect(block, second, &scaled, false, gradient);
            let (g_first, g_second) = std::mem::take(&mut gradient.start);
            let before_second =
                (0..gx.len()).map(|i| g_first[i] + p * g_second[i] + gx[i]).collect();
            let before_first = g_second.iter().map(|&v| q * v).collect();
            gradient.start = (before_first, before_second);
        }
    }

    /// Adds the parameter gradients of residual `index` and returns the gradient of its argument.
    fn collect(
        &self,
        index: usize,
        x: &[T],
        cotangent: &[T],
        conjugate: bool,
        gradient: &mut ReferenceGradient<T>,
    ) -> Vec<T> {
        let local = self.residual(index).gradient(x, cotangent, conjugate);
        let (k, c) = (self.shape.kernel_len(), self.shape.channels);
        let add = |into: &mut [T], from: &[T]| {
            for (i, &f) in into.iter_mut().zip(from) {
                *i = *i + f;
            }
        };
        add(&mut gradient.kernels[index * k..(index + 1) * k], &local.kernel);
        add(&mut gradient.biases[index * c..(index + 1) * c], &local.bias);
        add(&mut gradient.input_biases[index * c..(index + 1) * c], &local.input_bias);
        local.x
    }
}
