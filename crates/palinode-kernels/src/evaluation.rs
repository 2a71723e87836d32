//! What an algorithm is asked to compute: a residual at a state, and where its value and its gradients
//! go.

use crate::activation::Activation;
use crate::form::Form;
use crate::grid::Grid;
use crate::register::{first, set_first};
use crate::token::Bf16;
use pulp::Simd;

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
pub enum Motion {
    /// state ← state + s·f.
    Add,
    /// state ← x + ((x − state) + s·f), where x is the state at which the residual was evaluated.
    Extrapolate,
}

/// A [`Motion`] with its factor s. On a grid, s·f is rounded to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Increment {
    pub motion: Motion,
    /// s.
    pub scale: f32,
    pub grid: Option<Grid>,
}

impl Increment {
    /// state ← state + s·f, without a grid.
    pub fn plain(scale: f32) -> Self {
        Self { motion: Motion::Add, scale, grid: None }
    }

    /// Increments a state by as many values as it has numbers. The residual was evaluated at x.
    #[inline(always)]
    pub fn apply<S: Simd>(self, simd: S, values: &[f32], x: &[f32], state: &mut [f32]) {
        let (values, x) = (S::as_simd_f32s(values).0, S::as_simd_f32s(x).0);
        let state = S::as_mut_simd_f32s(state).0;
        // (Two loops, because the first one does not read x.)
        match self.motion {
            Motion::Add => {
                for (state, &f) in state.iter_mut().zip(values) {
                    *state = self.applied(simd, f, f, *state);
                }
            }
            Motion::Extrapolate => {
                for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
                    *state = self.applied(simd, f, x, *state);
                }
            }
        }
    }

    /// [`apply`](Self::apply) for the first vector of x and of the state.
    #[inline(always)]
    pub fn apply_vector<S: Simd>(self, simd: S, values: S::f32s, x: &[f32], state: &mut [f32]) {
        let new = self.applied(simd, values, first::<S>(x), first::<S>(state));
        set_first::<S>(state, new);
    }

    #[inline(always)]
    fn applied<S: Simd>(self, simd: S, f: S::f32s, x: S::f32s, state: S::f32s) -> S::f32s {
        let scale = simd.splat_f32s(self.scale);
        let Some(grid) = self.grid else {
            return match self.motion {
                Motion::Add => simd.mul_add_e_f32s(scale, f, state),
                Motion::Extrapolate => {
                    let difference = simd.sub_f32s(x, state);
                    simd.add_f32s(x, simd.mul_add_e_f32s(scale, f, difference))
                }
            };
        };
        // A number and its negative are rounded alike, so that −s undoes s.
        let change = simd.mul_f32s(scale, f);
        let size = simd.abs_f32s(change);
        let sign: S::u32s = {
            let [change, size]: [S::u32s; 2] = [bytemuck::cast(change), bytemuck::cast(size)];
            simd.xor_u32s(change, size)
        };
        let offset = simd.splat_f32s(grid.offset());
        let rounded = simd.sub_f32s(simd.add_f32s(size, offset), offset);
        let rounded: S::f32s =
            bytemuck::cast(simd.xor_u32s(bytemuck::cast::<_, S::u32s>(rounded), sign));
        match self.motion {
            Motion::Add => simd.add_f32s(state, rounded),
            Motion::Extrapolate => {
                simd.add_f32s(x, simd.add_f32s(simd.sub_f32s(x, state), rounded))
            }
        }
    }
}

/// A state that the values of a residual change; padded images.
pub(crate) struct Advance<'a> {
    pub increment: Increment,
    /// The state x at which the residual is evaluated.
    pub x: &'a [f32],
    pub state: &'a mut [f32],
}

impl Advance<'_> {
    pub fn reborrow(&mut self) -> Advance<'_> {
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
