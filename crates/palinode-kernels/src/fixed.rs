//! Numbers in fixed point, whose sums are exact.

use crate::context::Context;
use crate::error::Error;
use crate::evaluation::Increment;
use crate::number::{Held, Number};
use crate::unit::{Gradients, State, Unit};
use bytemuck::{Pod, Zeroable};
use pulp::Simd;

/// A number with `FRACTION` binary places in 32 bits: a multiple of 2^−FRACTION between ±2^(31 − FRACTION).
///
/// A unit whose state is held so runs backwards **to the bit**: s·F(x) is rounded to the nearest multiple,
/// which is added on the way there and taken away again on the way back. Sums are taken modulo 2³², so
/// this holds even where a number leaves the range (and is then, of course, another). Gradients are those
/// of the unit without the rounding.
///
/// ```
/// use palinode_kernels::recurrence::{Term, Update};
/// use palinode_kernels::{Activation, Algorithm, Context, Fixed, Form, Number, Precision};
/// use palinode_kernels::unit::{Parameters, State, Unit};
///
/// let context = Context::new();
/// let parameters = vec![0.1; 9 + 1];
/// let unit = Unit {
///     images: 1, channels: 1, height: 2, width: 2,
///     form: Form::Symmetric, activation: Activation::Relu, algorithm: Algorithm::Direct,
///     gradients: Precision::F32,
///     updates: &[Update::TwoStream { first: Term::new(0.3, 0), second: Term::new(-0.3, 0) }],
///     parameters: &Parameters::split(&parameters, 1, false)?,
/// };
/// let start = [0.1, -0.2, 0.3, 1.7, 0.5, 0.6, -0.7, 0.8].map(Fixed::<20>::nearest);
/// let mut state = start;
/// unit.forward(&context, State::Joined(&mut state))?;
/// assert_ne!(state, start);
/// unit.inverse(&context, State::Joined(&mut state))?;
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
    fn updated(increment: Increment, f: f32, Self(x): Self, Self(state): Self) -> Self {
        let (Increment::Add(scale) | Increment::Extrapolate(scale)) = increment;
        let Self(change) = Self::nearest(scale * f);
        Self(match increment {
            Increment::Add(_) => state.wrapping_add(change),
            Increment::Extrapolate(_) => x.wrapping_add(x.wrapping_sub(state)).wrapping_add(change),
        })
    }
}

impl<const FRACTION: u32> Number for Fixed<FRACTION> {
    /// Of two the even one; the nearest there is where `value` is beyond the range, and 0 for a NaN.
    /// The number nearest to −`value` is always the negative of that nearest to `value`.
    #[inline(always)]
    fn nearest(value: f32) -> Self {
        /// The last f32 below 2³¹.
        const LIMIT: f32 = 2_147_483_520.0;
        Self((value * Self::SCALE).clamp(-LIMIT, LIMIT).round_ties_even() as i32)
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self.0 as f32 / Self::SCALE
    }
}

impl<const FRACTION: u32> Held for Fixed<FRACTION> {
    #[inline(always)]
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn update<S: Simd>(_: S, increment: Increment, values: &[f32], x: &[Self], state: &mut [Self]) {
        for ((state, &f), &x) in state.iter_mut().zip(values).zip(x) {
            *state = Self::updated(increment, f, x, *state);
        }
    }

    #[inline(always)]
    fn update_vector<S: Simd>(
        simd: S,
        increment: Increment,
        values: S::f32s,
        x: &[Self],
        state: &mut [Self],
    ) {
        let values: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&values));
        Self::update(simd, increment, values, x, state);
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
        state: State<'_, Self>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        unit.pull_back(context, state, gradient, parameters)
    }
}
