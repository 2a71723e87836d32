//! What the kernels ask of the numbers that a state consists of.

use crate::evaluation::Increment;
use crate::register::{first, set_first};
use bytemuck::Pod;
use pulp::Simd;

/// 32 bits of a state: f32, or a number in fixed point.
///
/// Users see it as [`Number`](crate::Number). They cannot implement it.
pub trait Element: Pod + Send + Sync {
    /// The number nearest to `value`.
    fn from_f32(value: f32) -> Self;

    /// The f32 nearest to it.
    fn to_f32(self) -> f32;

    /// The numbers themselves, if they are f32.
    fn as_f32(numbers: &[Self]) -> Option<&[f32]>;

    /// Increments a state by as many values as it has numbers. The residual was evaluated at x.
    fn increment<S: Simd>(
        simd: S,
        increment: Increment,
        values: &[f32],
        x: &[Self],
        state: &mut [Self],
    );

    /// [`increment`](Self::increment) for the first vector of x and of the state.
    fn increment_vector<S: Simd>(
        simd: S,
        increment: Increment,
        values: S::f32s,
        x: &[Self],
        state: &mut [Self],
    );
}

impl Element for f32 {
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn as_f32(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }

    #[inline(always)]
    fn increment<S: Simd>(
        simd: S,
        increment: Increment,
        values: &[f32],
        x: &[f32],
        state: &mut [f32],
    ) {
        let (values, x) = (S::as_simd_f32s(values).0, S::as_simd_f32s(x).0);
        let state = S::as_mut_simd_f32s(state).0;
        // (Two loops, because the first one does not read x.)
        match increment {
            Increment::Add(_) => {
                for (state, &f) in state.iter_mut().zip(values) {
                    *state = incremented(simd, increment, f, f, *state);
                }
            }
            Increment::Extrapolate(_) => {
                for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
                    *state = incremented(simd, increment, f, x, *state);
                }
            }
        }
    }

    #[inline(always)]
    fn increment_vector<S: Simd>(
        simd: S,
        increment: Increment,
        values: S::f32s,
        x: &[f32],
        state: &mut [f32],
    ) {
        let new = incremented(simd, increment, values, first::<S>(x), first::<S>(state));
        set_first::<S>(state, new);
    }
}

#[inline(always)]
fn incremented<S: Simd>(
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
