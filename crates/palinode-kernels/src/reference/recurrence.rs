//! How the blocks of a unit follow each other, backwards too.

use super::{ReferenceGradient, ReferenceState, ReferenceUnit};
use num_traits::{Float, NumCast};

/// The recurrence of a unit. F is a residual, h the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recurrence {
    /// Y⁺ = Y + hF₁(Z), Z⁺ = Z − hF₂(Y⁺).
    Verlet,
    /// Y⁺ = Y + hF(Z), Z⁺ = Z − hF*(Y⁺), F* the companion of F with the same parameters.
    Hamiltonian,
    /// Y⁺ = Y + F₁(Z), Z⁺ = Z + F₂(Y⁺).
    Coupling,
    /// X₁ = X₀ + hF(X₀), then X_{j+1} = X_{j−1} + 2hF(X_j).
    Midpoint,
    /// X_{j+1} = 2X_j − X_{j−1} − h²F(X_j).
    Leapfrog,
}

impl Recurrence {
    /// Every recurrence, for tests.
    pub const ALL: [Self; 5] =
        [Self::Verlet, Self::Hamiltonian, Self::Coupling, Self::Midpoint, Self::Leapfrog];

    /// Residuals with their own parameters in one block.
    pub fn residuals_per_block(self) -> usize {
        match self {
            Self::Verlet | Self::Coupling => 2,
            Self::Hamiltonian | Self::Midpoint | Self::Leapfrog => 1,
        }
    }
}

fn axpy<T: Float>(scale: T, x: &[T], y: &[T]) -> Vec<T> {
    x.iter().zip(y).map(|(&x, &y)| y + scale * x).collect()
}

impl<T: Float> ReferenceUnit<T> {
    /// Scales and residuals of the two half-steps of a two-stream block:
    /// ((scale, index, conjugate) of the update of Y, the same of Z).
    fn half_steps(&self, block: usize) -> [(T, usize, bool); 2] {
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

    fn two_streams(&self) -> bool {
        !matches!(self.recurrence, Recurrence::Midpoint | Recurrence::Leapfrog)
    }

    pub(super) fn step(
        &self,
        block: usize,
        (first, second): &ReferenceState<T>,
    ) -> ReferenceState<T> {
        if self.two_streams() {
            let [(a, f, fc), (b, g, gc)] = self.half_steps(block);
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

    pub(super) fn unstep(
        &self,
        block: usize,
        (first, second): &ReferenceState<T>,
    ) -> ReferenceState<T> {
        if self.two_streams() {
            let [(a, f, fc), (b, g, gc)] = self.half_steps(block);
            let z = axpy(-b, &self.residual(g).value(first, gc), second);
            let y = axpy(-a, &self.residual(f).value(&z, fc), first);
            (y, z)
        } else {
            let (p, q, s) = self.coefficients(block);
            let value = self.residual(block).value(first, false);
            // q = ±1, so dividing by q is multiplying by it.
            let previous =
                (0..value.len()).map(|i| q * (second[i] - p * first[i] - s * value[i])).collect();
            (previous, first.clone())
        }
    }

    /// Pulls `gradient.start` back through one block whose state before it is known.
    pub(super) fn pull_back(
        &self,
        block: usize,
        state: &ReferenceState<T>,
        gradient: &mut ReferenceGradient<T>,
    ) {
        let (first, second) = state;
        if self.two_streams() {
            let [(a, f, fc), (b, g, gc)] = self.half_steps(block);
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
