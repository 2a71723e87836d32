//! How the numbers of a state are held from block to block: a parameter of every sweep.

use crate::context::Context;
use crate::error::Error;
use crate::evaluation::Increment;
use crate::register::{load, store};
use crate::unit::{Gradients, State, Unit};
use bytemuck::Pod;
use pulp::Simd;

/// A kind of number that states are made of: `f32`, or [`Fixed`](crate::Fixed), whose sums are exact.
///
/// Residuals and all gradients are f32 whatever it is. (Nobody else can add a kind.)
pub trait Number: Held {
    /// The number nearest to `value`.
    fn nearest(value: f32) -> Self;

    /// The f32 nearest to it.
    fn value(self) -> f32;
}

/// What the kernels ask of a [`Number`].
#[doc(hidden)]
pub trait Held: Pod + Send + Sync {
    /// The numbers themselves, if they are f32.
    fn as_f32(numbers: &[Self]) -> Option<&[f32]>;

    /// Updates a state with as many values as there are, x being where they were evaluated.
    fn update<S: Simd>(
        simd: S,
        increment: Increment,
        values: &[f32],
        x: &[Self],
        state: &mut [Self],
    );

    /// [`update`](Self::update) with one vector.
    fn update_vector<S: Simd>(
        simd: S,
        increment: Increment,
        values: S::f32s,
        x: &[Self],
        state: &mut [Self],
    );

    /// [`Unit::forward`] and [`Unit::inverse`]; here, so that f32's are compiled with this crate.
    fn sweep(
        unit: &Unit<'_>,
        context: &Context,
        state: State<'_, Self>,
        backwards: bool,
    ) -> Result<(), Error>;

    /// [`Unit::backward`].
    fn backward(
        unit: &Unit<'_>,
        context: &Context,
        state: State<'_, Self>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error>;
}

impl Number for f32 {
    #[inline(always)]
    fn nearest(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
}

impl Held for f32 {
    #[inline(always)]
    fn as_f32(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }

    #[inline(always)]
    fn update<S: Simd>(
        simd: S,
        increment: Increment,
        values: &[f32],
        x: &[f32],
        state: &mut [f32],
    ) {
        let (values, x) = (S::as_simd_f32s(values).0, S::as_simd_f32s(x).0);
        let state = S::as_mut_simd_f32s(state).0;
        // (Two loops: the first does not read x.)
        match increment {
            Increment::Add(_) => {
                for (state, &f) in state.iter_mut().zip(values) {
                    *state = updated(simd, increment, f, f, *state);
                }
            }
            Increment::Extrapolate(_) => {
                for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
                    *state = updated(simd, increment, f, x, *state);
                }
            }
        }
    }

    #[inline(always)]
    fn update_vector<S: Simd>(
        simd: S,
        increment: Increment,
        values: S::f32s,
        x: &[f32],
        state: &mut [f32],
    ) {
        assert!(x.len().min(state.len()) >= S::F32_LANES);
        // SAFETY: both are a vector long.
        unsafe {
            let (x, old) = (load::<S>(x.as_ptr()), load::<S>(state.as_ptr()));
            store::<S>(state.as_mut_ptr(), updated(simd, increment, values, x, old));
        }
    }

    fn sweep(
        unit: &Unit<'_>,
        context: &Context,
        state: State<'_, Self>,
        backwards: bool,
    ) -> Result<(), Error> {
        unit.sweep(context, state, backwards)
    }

    fn backward(
        unit: &Unit<'_>,
        context: &Context,
        state: State<'_>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        unit.pull_back(context, state, gradient, parameters)
    }
}

#[inline(always)]
fn updated<S: Simd>(
    simd: S,
    increment: Increment,
    f: S::f32s,
    x: S::f32s,
    state: S::f32s,
) -> S::f32s {
    match increment {
        Increment::Add(scale) => simd.mul_add_e_f32s(simd.splat_f32s(scale), f, state),
        Increment::Extrapolate(scale) => {
            let difference = simd.sub_f32s(x, state);
            let moved = simd.mul_add_e_f32s(simd.splat_f32s(scale), f, difference);
            simd.add_f32s(x, moved)
        }
    }
}
