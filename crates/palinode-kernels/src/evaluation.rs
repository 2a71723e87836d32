//! What an algorithm is asked to compute: a residual at a state, and where its value and its gradients
//! go.

use crate::activation::Activation;
use crate::form::Form;
use crate::token::Bf16;

/// What an algorithm is used for; its working memory depends on it.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Values alone.
    Values,
    /// Values and gradients. With a token, the factors of the products for gradients are rounded to
    /// bf16.
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

/// A residual and the state at which it is evaluated: padded images, whose padding is zero.
#[derive(Clone, Copy)]
pub(crate) struct Evaluation<'a> {
    pub form: Form,
    pub activation: Activation,
    /// Images of the chunk.
    pub images: usize,
    /// The state x, or x + a if the residual has an a.
    pub x: &'a [f32],
}

/// What a value f of the residual does to the state at the same pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Increment {
    /// state ← state + s·f.
    Add(f32),
    /// state ← x + ((x − state) + s·f), where x is the state at which the residual was evaluated.
    Extrapolate(f32),
}

/// A state that the values of a residual change; padded images.
pub(crate) struct Advance<'a, N> {
    pub increment: Increment,
    /// The state x at which the residual is evaluated.
    pub x: &'a [N],
    pub state: &'a mut [N],
}

impl<N> Advance<'_, N> {
    pub fn reborrow(&mut self) -> Advance<'_, N> {
        Advance { increment: self.increment, x: self.x, state: self.state }
    }
}

/// A cotangent v of s·F(x), and where s·Jᵀv goes; padded images.
pub(crate) struct Cotangent<'a> {
    pub v: &'a [f32],
    /// s.
    pub scale: f32,
    /// s·Jᵀv is added to it.
    pub gradient: &'a mut [f32],
}

/// The gradients of s·⟨v, F(x)⟩ with respect to a residual's parameters: set, and without padding.
pub(crate) struct ParameterGradients<'a> {
    /// With respect to the convolution M before σ, `[c, c, 3, 3]`.
    pub inner: &'a mut [f32],
    /// With respect to b, `[c]`.
    pub bias: &'a mut [f32],
    /// With respect to a, `[c]`, or empty if there is no a.
    pub input_bias: &'a mut [f32],
}
