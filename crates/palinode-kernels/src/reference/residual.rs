//! The residual functions F and their vector–Jacobian products.

use super::convolution::{adjoint, convolve, weight_gradient};
use super::shape::Shape;
use crate::activation::Activation;
use crate::convolution::ConvolutionKernel;
use crate::form::Form;
use num_traits::Float;

/// One residual with its parameters.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceResidual<'a, T> {
    /// The formula.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// The extent of argument and value.
    pub shape: Shape,
    /// K, `[c, c, 3, 3]`.
    pub kernel: &'a [T],
    /// b, `[c]`.
    pub bias: &'a [T],
    /// a, `[c]`.
    pub input_bias: &'a [T],
}

/// The gradients of ⟨v, F(x)⟩ for a cotangent v.
#[derive(Clone, Debug)]
pub struct ResidualGradient<T> {
    /// With respect to x.
    pub x: Vec<T>,
    /// With respect to K.
    pub kernel: Vec<T>,
    /// With respect to b.
    pub bias: Vec<T>,
    /// With respect to a.
    pub input_bias: Vec<T>,
}

impl<T: Float> ReferenceResidual<'_, T> {
    /// F(x), or with `conjugate` the conjugate F*(x), where Kᵀ takes the place of K ([`Form::Layer`] only; the
    /// other forms are their own conjugates).
    pub fn value(&self, x: &[T], conjugate: bool) -> Vec<T> {
        let hidden: Vec<T> = self
            .pre_activation(&self.shifted(x), conjugate)
            .iter()
            .map(|&p| self.activation.apply(p))
            .collect();
        match self.form {
            Form::Symmetric => adjoint(&self.convolution(), self.kernel, &hidden),
            Form::Layer | Form::Antisymmetric => hidden,
        }
    }

    /// The gradients of ⟨cotangent, F(x)⟩.
    pub fn gradient(&self, x: &[T], cotangent: &[T], conjugate: bool) -> ResidualGradient<T> {
        let shifted = self.shifted(x);
        let pre = self.pre_activation(&shifted, conjugate);
        // δ = σ′(p) ⊙ (cotangent with respect to the hidden layer)
        let hidden_cotangent = match self.form {
            Form::Symmetric => convolve(&self.convolution(), self.kernel, cotangent),
            Form::Layer | Form::Antisymmetric => cotangent.to_vec(),
        };
        let delta: Vec<T> = pre
            .iter()
            .zip(&hidden_cotangent)
            .map(|(&p, &g)| self.activation.derivative(p) * g)
            .collect();
        let (x_gradient, kernel) = match self.form {
            Form::Symmetric => {
                let hidden: Vec<T> = pre.iter().map(|&p| self.activation.apply(p)).collect();
                // Kᵀ depends on K too: ⟨cotangent, Kᵀhidden⟩ = ⟨K cotangent, hidden⟩.
                let outer = weight_gradient(&self.convolution(), cotangent, &hidden);
                let inner = weight_gradient(&self.convolution(), &shifted, &delta);
                (
                    adjoint(&self.convolution(), self.kernel, &delta),
                    inner.iter().zip(&outer).map(|(&i, &o)| i + o).collect(),
                )
            }
            Form::Layer if conjugate => (
                convolve(&self.convolution(), self.kernel, &delta),
                weight_gradient(&self.convolution(), &delta, &shifted),
            ),
            Form::Layer => (
                adjoint(&self.convolution(), self.kernel, &delta),
                weight_gradient(&self.convolution(), &shifted, &delta),
            ),
            Form::Antisymmetric => {
                let plus = adjoint(&self.convolution(), self.kernel, &delta);
                let minus = convolve(&self.convolution(), self.kernel, &delta);
                let inner = weight_gradient(&self.convolution(), &shifted, &delta);
                let outer = weight_gradient(&self.convolution(), &delta, &shifted);
                (
                    plus.iter().zip(&minus).map(|(&p, &m)| p - m).collect(),
                    inner.iter().zip(&outer).map(|(&i, &o)| i - o).collect(),
                )
            }
        };
        ResidualGradient {
            bias: self.channel_sums(&delta),
            input_bias: self.channel_sums(&x_gradient),
            x: x_gradient,
            kernel,
        }
    }

    /// The shape of K.
    fn convolution(&self) -> ConvolutionKernel {
        self.shape.convolution()
    }

    /// x + a.
    fn shifted(&self, x: &[T]) -> Vec<T> {
        let area = self.shape.height * self.shape.width;
        x.iter()
            .enumerate()
            .map(|(i, &v)| v + self.input_bias[i / area % self.shape.channels])
            .collect()
    }

    /// The argument of σ.
    fn pre_activation(&self, shifted: &[T], conjugate: bool) -> Vec<T> {
        let mut pre = match self.form {
            Form::Layer if conjugate => adjoint(&self.convolution(), self.kernel, shifted),
            Form::Symmetric | Form::Layer => convolve(&self.convolution(), self.kernel, shifted),
            Form::Antisymmetric => convolve(&self.convolution(), self.kernel, shifted)
                .iter()
                .zip(adjoint(&self.convolution(), self.kernel, shifted))
                .map(|(&k, kt)| k - kt)
                .collect(),
        };
        let area = self.shape.height * self.shape.width;
        for (i, p) in pre.iter_mut().enumerate() {
            *p = *p + self.bias[i / area % self.shape.channels];
        }
        pre
    }

    /// Sums over images and pixels, one per channel.
    fn channel_sums(&self, values: &[T]) -> Vec<T> {
        let area = self.shape.height * self.shape.width;
        let mut sums = vec![T::zero(); self.shape.channels];
        for (i, &v) in values.iter().enumerate() {
            let channel = i / area % self.shape.channels;
            sums[channel] = sums[channel] + v;
        }
        sums
    }
}
