//! One residual on a chunk of padded images: its value and its vector–Jacobian product.

use super::rows::Update;
use super::strip::Workspace;
use super::{Geometry, Weights, layer, symmetric};
use crate::register::load;
use crate::{Activation, Form};
use pulp::Simd;

/// A residual whose weights are set.
#[derive(Clone, Copy)]
pub(crate) struct Residual<'a> {
    pub form: Form,
    pub activation: Activation,
    pub geometry: &'a Geometry,
    pub weights: &'a Weights,
    /// Images of the chunk.
    pub images: usize,
}

/// Where a residual is evaluated, padded images with zero padding.
#[derive(Clone, Copy)]
pub(crate) struct Argument<'a> {
    /// The state x.
    pub x: &'a [f32],
    /// x + a, or x again where there is no a.
    pub shifted: &'a [f32],
}

/// The gradients that a pull-back sets, without padding.
pub(crate) struct ParameterSlopes<'a> {
    /// Of the convolution before σ, `[c, c, 3, 3]`; of K, where that is K.
    pub inner: &'a mut [f32],
    /// `[c]`.
    pub bias: &'a mut [f32],
    /// `[c]`, or empty where there is no a.
    pub input_bias: &'a mut [f32],
}

impl Residual<'_> {
    /// Updates `state`, padded images, with F(x).
    #[inline(always)]
    pub fn value<S: Simd>(
        self,
        simd: S,
        w: &mut Workspace,
        at: Argument<'_>,
        update: Update,
        state: &mut [f32],
    ) {
        match self.form {
            Form::Symmetric => symmetric::value(simd, self, w, at, update, state),
            Form::Layer | Form::Antisymmetric => layer::value(simd, self, w, at, update, state),
        }
    }

    /// Updates `state` with F(x) and `slope` with s·Jᵀv, with one evaluation of F; sets the gradients
    /// of s·⟨v, F(x)⟩ with respect to the parameters.
    #[inline(always)]
    pub fn pull_back<S: Simd>(
        self,
        simd: S,
        w: &mut Workspace,
        (at, v): (Argument<'_>, &[f32]),
        state: (Update, &mut [f32]),
        slope: (f32, &mut [f32]),
        parameters: ParameterSlopes<'_>,
    ) {
        match self.form {
            Form::Symmetric => {
                symmetric::pull_back(simd, self, w, (at, v), state, slope, parameters);
            }
            Form::Layer | Form::Antisymmetric => {
                layer::pull_back(simd, self, w, (at, v), state, slope, parameters);
            }
        }
    }

    /// b of one vector of channels.
    #[inline(always)]
    pub(super) fn bias<S: Simd>(self, channel: usize) -> S::f32s {
        assert!(channel + S::F32_LANES <= self.weights.bias.len());
        // SAFETY: the assertion above.
        unsafe { load::<S>(self.weights.bias.as_ptr().add(channel)) }
    }
}
