//! What a residual's value does to the state.

use crate::register::{load, store};
use pulp::Simd;

/// What a value f of the residual does to the state at the same pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Update {
    /// state ← state + s·f.
    Add(f32),
    /// state ← x + ((x − state) + s·f), x being where the residual was evaluated.
    Extrapolate(f32),
}

impl Update {
    /// Updates one vector of numbers.
    #[inline(always)]
    pub fn one<S: Simd>(self, simd: S, value: S::f32s, x: &[f32], state: &mut [f32]) {
        assert!(x.len().min(state.len()) >= S::F32_LANES);
        // SAFETY: both are a vector long.
        unsafe {
            let (x, old) = (load::<S>(x.as_ptr()), load::<S>(state.as_ptr()));
            store::<S>(state.as_mut_ptr(), self.of(simd, value, x, old));
        }
    }

    #[inline(always)]
    fn of<S: Simd>(self, simd: S, f: S::f32s, x: S::f32s, state: S::f32s) -> S::f32s {
        match self {
            Self::Add(scale) => simd.mul_add_e_f32s(simd.splat_f32s(scale), f, state),
            Self::Extrapolate(scale) => {
                let difference = simd.sub_f32s(x, state);
                let moved = simd.mul_add_e_f32s(simd.splat_f32s(scale), f, difference);
                simd.add_f32s(x, moved)
            }
        }
    }

    /// Updates as many numbers as `values` has.
    #[inline(always)]
    pub fn apply<S: Simd>(self, simd: S, values: &[f32], x: &[f32], state: &mut [f32]) {
        let (values, x) = (S::as_simd_f32s(values).0, S::as_simd_f32s(x).0);
        let state = S::as_mut_simd_f32s(state).0;
        // (Two loops: the first does not read x.)
        match self {
            Self::Add(_) => {
                for (state, &f) in state.iter_mut().zip(values) {
                    *state = self.of(simd, f, f, *state);
                }
            }
            Self::Extrapolate(_) => {
                for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
                    *state = self.of(simd, f, x, *state);
                }
            }
        }
    }
}
