//! A grid of numbers, on which the sums of a state are exact.

use crate::error::Error;

/// The multiples of 2^−`fraction`.
///
/// Sums of f32 on a grid are exact while they stay small enough, so that a unit whose state lies on a grid runs
/// backwards **to the bit**: each increment t = round(s·F(x)) is a multiple of the spacing, and X + t − t = X. This holds
/// at any depth and for any F that gives the same bits twice, while all states, and the differences of neighbouring ones,
/// stay within ± [`range`](Self::range). Beyond, sums round as they do in f32. (What comes back then differs from what went
/// in, as without a grid.)
///
/// Gradients are those of the unit without the rounding.
///
/// ```
/// use palinode_kernels::recurrence::{Term, Update};
/// use palinode_kernels::unit::{Parameters, StateSlices, UnitKernel};
/// use palinode_kernels::{Activation, Algorithm, Context, Form, Grid, Precision};
///
/// let context = Context::new();
/// let parameters = vec![0.1; 9 + 1];
/// let grid = Grid::new(18)?;
/// let unit = UnitKernel {
///     images: 1, channels: 1, height: 2, width: 2,
///     form: Form::Symmetric, activation: Activation::Relu, algorithm: Algorithm::Direct,
///     gradients: Precision::F32, grid: Some(grid),
///     updates: &[Update::TwoStream { first: Term::new(0.3, 0), second: Term::new(-0.3, 0) }],
///     parameters: &Parameters::split(&parameters, 1, false)?,
/// };
/// let start = [0.1, -0.2, 0.3, 1.7, 0.5, 0.6, -0.7, 0.8].map(|x| grid.nearest(x));
/// let mut state = start;
/// unit.forward(&context, StateSlices::Joined(&mut state))?;
/// assert_ne!(state, start);
/// unit.inverse(&context, StateSlices::Joined(&mut state))?;
/// assert_eq!(state, start);
/// # Ok::<(), palinode_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    fraction: i8,
}

impl Grid {
    /// The smallest and the largest number of binary places.
    pub const FRACTIONS: [i32; 2] = [-64, 64];

    /// The grid of numbers with `fraction` binary places; with a negative one, of multiples of a power of two.
    ///
    /// # Errors
    /// [`Error::Grid`] outside [`FRACTIONS`](Self::FRACTIONS).
    pub fn new(fraction: i32) -> Result<Self, Error> {
        let [least, most] = Self::FRACTIONS;
        match i8::try_from(fraction) {
            Ok(own) if (least..=most).contains(&fraction) => Ok(Self { fraction: own }),
            _ => Err(Error::Grid { fraction }),
        }
    }

    /// The finest grid with 8 to 22 binary places whose range leaves states up to ±`largest` a factor of two to grow;
    /// `None` if there is none, or if `largest` is not finite.
    ///
    /// With 22 places, numbers are 2.4e-7 apart and the range is ±4; with 8 places, 0.0039 and ±65,536.
    pub fn for_states(largest: f64) -> Option<Self> {
        let grids = (8..=22).rev().map(|fraction| Self { fraction });
        grids.into_iter().find(|grid| 2.0 * largest <= f64::from(grid.range()))
    }

    /// The grid with one binary place less; `None` below 8 places, where states would be coarse.
    pub fn coarser(self) -> Option<Self> {
        (self.fraction > 8).then(|| Self { fraction: self.fraction - 1 })
    }

    /// Binary places.
    pub fn fraction(self) -> i32 {
        i32::from(self.fraction)
    }

    /// Distance of neighbours, 2^−fraction.
    pub fn spacing(self) -> f32 {
        2.0_f32.powi(-self.fraction())
    }

    /// Sums are exact within ± this number, 2^(24 − fraction).
    pub fn range(self) -> f32 {
        2.0_f32.powi(24 - self.fraction())
    }

    /// The number of the grid that is nearest to x, of two the even one. (A number beyond the range stays what it is.)
    pub fn nearest(self, x: f32) -> f32 {
        if x.abs() < self.range() {
            (x * 2.0_f32.powi(self.fraction())).round_ties_even() * self.spacing()
        } else {
            x
        }
    }

    /// A number c for which (x + c) − c is the number nearest to x for 0 ≤ x < c: f32 between c and 2c are one spacing
    /// apart, and x + c is one of them. For larger x it is a number of the grid that is near x.
    pub(crate) fn offset(self) -> f32 {
        0.5 * self.range()
    }
}
