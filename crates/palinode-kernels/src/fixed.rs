//! Numbers in fixed point, whose sums are exact.

use crate::element::Element;
use crate::evaluation::Increment;
use bytemuck::{Pod, Zeroable};
use pulp::Simd;

/// A number of 32 bits with `FRACTION` binary places: a multiple of 2^−FRACTION within
/// ±2^(31 − FRACTION).
///
/// A unit with such a state runs backwards **to the bit**. The increment s·F(x) is rounded to the nearest
/// multiple, which is added on the way forward and subtracted on the way back. Sums are taken modulo 2³²,
/// so this holds even if a number leaves the range (its value is then another one). Gradients are those
/// of the unit without the rounding.
///
/// The number [nearest](crate::Number::nearest) to a value: ties go to the even number, values beyond the range
/// to its end, and NaN to 0.
///
/// ```
/// use palinode_kernels::recurrence::{Term, Update};
/// use palinode_kernels::unit::{Parameters, StateSlices, UnitKernel};
/// use palinode_kernels::{Activation, Algorithm, Context, Fixed, Form, Number, Precision};
///
/// let context = Context::new();
/// let parameters = vec![0.1; 9 + 1];
/// let unit = UnitKernel {
///     images: 1, channels: 1, height: 2, width: 2,
///     form: Form::Symmetric, activation: Activation::Relu, algorithm: Algorithm::Direct,
///     gradients: Precision::F32,
///     updates: &[Update::TwoStream { first: Term::new(0.3, 0), second: Term::new(-0.3, 0) }],
///     parameters: &Parameters::split(&parameters, 1, false)?,
/// };
/// let start = [0.1, -0.2, 0.3, 1.7, 0.5, 0.6, -0.7, 0.8].map(Fixed::<20>::nearest);
/// let mut state = start;
/// unit.forward(&context, StateSlices::Joined(&mut state))?;
/// assert_ne!(state, start);
/// unit.inverse(&context, StateSlices::Joined(&mut state))?;
/// assert_eq!(state, start);
/// # Ok::<(), palinode_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Fixed<const FRACTION: u32>(i32);

impl<const FRACTION: u32> Fixed<FRACTION> {
    /// 2^FRACTION.
    const SCALE: f32 = {
        assert!(FRACTION < 32, "a fixed-point number has fewer than 32 binary places");
        (1_u64 << FRACTION) as f32
    };

    #[inline(always)]
    fn incremented(increment: Increment, f: f32, Self(x): Self, Self(state): Self) -> Self {
        let (Increment::Add(scale) | Increment::Extrapolate(scale)) = increment;
        let Self(change) = Self::from_f32(scale * f);
        Self(match increment {
            Increment::Add(_) => state.wrapping_add(change),
            Increment::Extrapolate(_) => x.wrapping_add(x.wrapping_sub(state)).wrapping_add(change),
        })
    }
}

impl<const FRACTION: u32> Element for Fixed<FRACTION> {
    /// The number nearest to −`value` is always the negative of the number nearest to `value`.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        /// The largest f32 below 2³¹.
        const LIMIT: f32 = 2_147_483_520.0;
        Self((value * Self::SCALE).clamp(-LIMIT, LIMIT).round_ties_even() as i32)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.0 as f32 / Self::SCALE
    }

    #[inline(always)]
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn increment<S: Simd>(
        _: S,
        increment: Increment,
        values: &[f32],
        x: &[Self],
        state: &mut [Self],
    ) {
        for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
            *state = Self::incremented(increment, f, x, *state);
        }
    }

    #[inline(always)]
    fn increment_vector<S: Simd>(
        simd: S,
        increment: Increment,
        values: S::f32s,
        x: &[Self],
        state: &mut [Self],
    ) {
        let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&values));
        Self::increment(simd, increment, values, x, state);
    }
}
