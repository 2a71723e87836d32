//! What an algorithm is asked to compute: a residual at a state, and where its value and its gradients go.

use crate::activation::Activation;
use crate::form::Form;
use crate::number::Number;
use crate::token::Bf16;

/// What an algorithm is used for, hence what memory it needs.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Values alone.
    Values,
    /// Values and gradients; with a token, the factors of the products for gradients are rounded to bf16.
    Gradients(Option<Bf16>),
}

impl Purpose {
    pub fn has_gradients(self) -> bool {
        matches!(self, Self::Gradients(_))
    }

    pub fn bf16(self) -> Option<Bf16> {
        match self {
            Self::Values => None,
            Self::Gradients(bf16) => bf16,
        }
    }
}

/// A residual, and where it is evaluated: padded images with zero padding.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<'a> {
    pub form: Form,
    pub activation: Activation,
    /// Images of the chunk.
    pub images: usize,
    /// The state x, or x + a where there is an a.
    pub x: &'a [f32],
}

/// v, and where Jᵀv goes; padded images.
pub(crate) struct Cotangent<'a> {
    pub v: &'a [f32],
    pub scale: f32,
    /// Added to: scale·Jᵀv.
    pub slope: &'a mut [f32],
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

/// What a value f of the residual does to the state at the same pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Increment {
    /// state ← state + s·f.
    Add(f32),
    /// state ← x + ((x − state) + s·f), x being where the residual was evaluated.
    Extrapolate(f32),
}

/// A state that a residual's values update; padded images.
pub(crate) struct Advance<'a, N> {
    pub increment: Increment,
    /// The state x at which the residual is evaluated.
    pub x: &'a [N],
    pub state: &'a mut [N],
}

impl<N: Number> Advance<'_, N> {
    /// The same for a while.
    pub fn reborrow(&mut self) -> Advance<'_, N> {
        Advance { increment: self.increment, x: self.x, state: self.state }
    }
}
