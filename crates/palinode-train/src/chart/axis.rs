//! From values to positions along an axis.

use super::figure::{Axis, Scale};
use super::ticks;

/// What an axis covers, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    low: f64,
    high: f64,
    log: bool,
    /// There is no tick below.
    first_tick: f64,
}

/// A tick: its position in 0…1 and what is written there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) position: f64,
    pub(super) label: String,
}

impl Range {
    /// The range that shows `values` and the ends of their error bars, with some room on both sides;
    /// all of them finite. `None` where there is no value.
    ///
    /// The scale depends on the values alone: the end of an error bar below zero does not make a
    /// logarithmic axis linear.
    pub(super) fn of(axis: &Axis, values: &[f64], ends: &[f64]) -> Option<Self> {
        let log = axis.scale == Scale::Log && values.iter().all(|&value| value > 0.0);
        let asked = axis.at_least.iter().flatten();
        let all = || values.iter().chain(ends).chain(asked.clone()).copied();
        let shown = || all().filter(|&value| !log || value > 0.0);
        values.first()?;
        let (low, high) = (shown().reduce(f64::min)?, shown().reduce(f64::max)?);
        // Within these limits all ratios are numbers.
        if log && low >= 1e-100 && high <= 1e100 {
            let margin = (high / low).powf(0.05).max(1.05);
            let (low, high) = (low / margin, high * margin);
            return Some(Self { low, high, log, first_tick: low });
        }
        // Differences of the ends stay finite.
        let [low, high] = [low, high].map(|end| end.clamp(f64::MIN / 4.0, f64::MAX / 4.0));
        let least = if axis.whole { 0.5 } else { 0.01 * low.abs().max(high.abs()) };
        let margin = (0.05 * (high - low)).max(least);
        let margin = if margin < 1e-12 && high == low { 1.0 } else { margin };
        if axis.from_zero && low >= 0.0 {
            return Some(Self { low: 0.0, high: high + margin, log: false, first_tick: 0.0 });
        }
        // Epochs begin at 1, and there is no tick at 0.
        let first_tick = if axis.whole { low } else { low - margin };
        Some(Self { low: low - margin, high: high + margin, log: false, first_tick })
    }

    /// Where `value` is, in 0…1; what is beyond an end is at it.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let place = match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        place.clamp(0.0, 1.0)
    }

    /// Ticks at round numbers, at most `most` of them.
    pub(super) fn ticks(&self, axis: &Axis, most: usize) -> Vec<Tick> {
        let values = match self.log {
            true => ticks::log(self.low, self.high, most),
            false => ticks::linear(self.low, self.high, most, axis.whole),
        };
        let values: Vec<f64> = values.into_iter().filter(|&tick| tick >= self.first_tick).collect();
        let alike = !self.log || !ticks::is_wide(self.low, self.high);
        let labels = ticks::labels(&values, alike);
        let tick = |(&value, label)| Tick { position: self.position(value), label };
        values.iter().zip(labels).map(tick).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_axis() -> Axis {
        Axis { scale: Scale::Log, ..Axis::new("loss") }
    }

    #[test]
    fn equal_ratios_are_equal_distances_on_a_logarithmic_axis() {
        let range = Range::of(&log_axis(), &[0.1, 10.0], &[]).unwrap();
        let [a, b, c] = [0.1, 1.0, 10.0].map(|value| range.position(value));
        assert!((b - 0.5).abs() < 1e-12 && (b - a - (c - b)).abs() < 1e-12);
        assert!(a > 0.0 && c < 1.0, "some room at the ends");
    }

    #[test]
    fn a_value_that_is_not_positive_makes_the_axis_linear() {
        let range = Range::of(&log_axis(), &[0.0, 10.0], &[]).unwrap();
        assert!((range.position(5.0) - 0.5).abs() < 1e-12);
        // The lower end of an error bar does not; it is drawn to the end of the axis.
        let range = Range::of(&log_axis(), &[0.1, 10.0], &[-0.1, 0.3]).unwrap();
        assert!((range.position(1.0) - 0.5).abs() < 1e-12);
        assert_eq!(range.position(-0.1), 0.0);
    }

    #[test]
    fn one_value_has_room_around_it() {
        for (axis, value) in [
            (Axis::new("a"), 93.2),
            (Axis::whole("e"), 1.0),
            (log_axis(), 0.4),
            (Axis::new("a"), 0.0),
        ] {
            let range = Range::of(&axis, &[value], &[]).unwrap();
            assert!((range.position(value) - 0.5).abs() < 1e-9, "{axis:?}");
            assert!(!range.ticks(&axis, 6).is_empty(), "{axis:?}");
        }
        assert_eq!(Range::of(&Axis::new("a"), &[], &[]), None);
    }

    #[test]
    fn extreme_values_have_positions_and_ticks() {
        for values in
            [[1e-300, 1e300], [f64::MIN, f64::MAX], [5e-324, 1e-320], [0.0, 5e-324], [1e-90, 1e90]]
        {
            for axis in [log_axis(), Axis::new("a"), Axis::whole("a")] {
                let range = Range::of(&axis, &values, &[]).unwrap();
                let positions = values.map(|value| range.position(value));
                assert!(positions.iter().all(|p| (0.0..=1.0).contains(p)), "{axis:?} {values:?}");
                assert!(range.ticks(&axis, 6).len() <= 6);
            }
        }
    }

    #[test]
    fn memory_begins_at_zero() {
        let axis = Axis { from_zero: true, ..Axis::new("MB") };
        let range = Range::of(&axis, &[80.0, 100.0], &[]).unwrap();
        assert_eq!(range.position(0.0), 0.0);
        assert!(range.position(100.0) > 0.9);
    }
}
