//! Round numbers for axes.

/// Ticks between `low` and `high` at the multiples of 1, 2 or 5 times a power of ten: as many as there
/// can be, but at most `most`; of `whole` numbers alone, if that is asked for.
///
/// Source: P. Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
pub(super) fn linear(low: f64, high: f64, most: usize, whole: bool) -> Vec<f64> {
    let least = (high - low) / most.max(1) as f64;
    if !(least.is_finite() && least > 0.0) {
        return Vec::new();
    }
    let mut exponent = least.log10().floor() as i32 - 1;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            let step = Step { factor, exponent };
            if whole && exponent < 0 {
                continue;
            }
            let (first, last) = step.multiples(low, high);
            if last - first < most.max(1) as f64 {
                return step.ticks(first, last);
            }
        }
        exponent += 1;
    }
}

/// factor · 10^exponent.
struct Step {
    factor: f64,
    exponent: i32,
}

impl Step {
    /// The first and the last multiple between `low` and `high`.
    fn multiples(&self, low: f64, high: f64) -> (f64, f64) {
        const ROUNDING: f64 = 1e-9;
        let step = self.factor * 10_f64.powi(self.exponent);
        ((low / step - ROUNDING).ceil(), (high / step + ROUNDING).floor())
    }

    fn ticks(&self, first: f64, last: f64) -> Vec<f64> {
        let count = (last - first + 1.0).max(0.0) as usize;
        (0..count).map(|index| self.times(first + index as f64)).collect()
    }

    /// The step times a whole number. 3 · 0.1 is not 0.3, but 3 / 10 is.
    fn times(&self, number: f64) -> f64 {
        let (multiple, scale) = (number * self.factor, 10_f64.powi(self.exponent.abs()));
        let value = if self.exponent < 0 { multiple / scale } else { multiple * scale };
        // Adding zero makes 0 of -0.
        value + 0.0
    }
}

/// Whether a logarithmic axis shows enough for ticks of its own. On a shorter one the ticks of a linear
/// axis are closer.
pub(super) fn is_wide(low: f64, high: f64) -> bool {
    high / low >= 3.0
}

/// Ticks of a logarithmic axis between two positive numbers, at most `most`: the powers of ten and as
/// many round numbers between them as fit.
pub(super) fn log(low: f64, high: f64, most: usize) -> Vec<f64> {
    const FACTORS: [&[f64]; 4] =
        [&[1.0, 2.0, 3.0, 4.0, 6.0, 8.0], &[1.0, 2.0, 3.0, 5.0], &[1.0, 2.0, 5.0], &[1.0, 3.0]];
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |factors: &'static [f64], every: usize| -> Vec<f64> {
        let exponents = (first..=last).step_by(every);
        let all = exponents.flat_map(|exponent| {
            factors.iter().map(move |&factor| Step { factor, exponent }.times(1.0))
        });
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let between = FACTORS.into_iter().map(|factors| within(factors, 1));
    let powers = (1..=(last - first).max(1) as usize).map(|every| within(&[1.0], every));
    let fitting = between.chain(powers).find(|ticks| ticks.len() <= most.max(2));
    match fitting {
        Some(ticks) if is_wide(low, high) && ticks.len() >= 2 => ticks,
        _ => linear(low, high, most, false),
    }
}

/// What is written at the ticks: with as many digits as the longest of them needs, or each with its own
/// where `alike` is false.
pub(super) fn labels(ticks: &[f64], alike: bool) -> Vec<String> {
    let largest = ticks.iter().fold(0.0_f64, |largest, tick| largest.max(tick.abs()));
    let most = ticks.iter().map(|&tick| digits(tick)).max().unwrap_or(0);
    ticks
        .iter()
        .map(|&tick| match () {
            () if tick == 0.0 && !alike => "0".to_owned(),
            () if largest < 1e-3 || tick.abs() >= 1e7 || (!alike && tick.abs() < 0.99e-4) => {
                scientific(tick)
            }
            () => grouped(tick, if alike { most } else { digits(tick) }),
        })
        .collect()
}

/// Digits behind the point that `value` needs, up to 9.
fn digits(value: f64) -> usize {
    let exact = |digits: &usize| {
        let scaled = value * 10_f64.powi(*digits as i32);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1e-3)
    };
    (0..9).find(exact).unwrap_or(9)
}

/// 2e-5 rather than 0.00002.
fn scientific(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{value:.6e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        None => text,
    }
}

/// With a comma between groups of three digits from 10,000 on.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let end = text.find('.').unwrap_or(text.len());
    let start = usize::from(text.starts_with('-'));
    if end - start < 5 {
        return text;
    }
    let mut result = text.clone();
    let mut place = end;
    while place > start + 3 {
        place -= 3;
        result.insert(place, ',');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ticks: &[f64]) -> Vec<String> {
        labels(ticks, true)
    }

    #[test]
    fn linear_ticks_are_round_and_even() {
        assert_eq!(linear(0.0, 1.0, 6, false), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(written(&linear(73.2, 94.1, 6, false)), ["75", "80", "85", "90"]);
        assert_eq!(
            written(&linear(0.4627, 0.4843, 6, false)),
            ["0.465", "0.470", "0.475", "0.480"]
        );
        assert_eq!(linear(-0.3, 0.32, 7, false), [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]);
        assert_eq!(written(&linear(0.0, 220.0, 6, false)), ["0", "50", "100", "150", "200"]);
        assert_eq!(written(&linear(0.0, 21_000.0, 3, false)), ["0", "10,000", "20,000"]);
        assert_eq!(written(&linear(0.0, 3e-5, 4, false)), ["0", "1e-5", "2e-5", "3e-5"]);
    }

    #[test]
    fn epochs_have_whole_ticks() {
        assert_eq!(linear(0.8, 3.2, 8, true), [1.0, 2.0, 3.0]);
        assert_eq!(linear(0.5, 30.5, 8, true), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(linear(0.0, 2.0, 8, true), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn logarithmic_ticks() {
        let written = |low, high, most| labels(&log(low, high, most), false);
        assert_eq!(written(0.22, 1.25, 6), ["0.3", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(written(0.04, 2.5, 7), ["0.05", "0.1", "0.2", "0.3", "0.5", "1", "2"]);
        assert_eq!(written(0.04, 2.5, 6), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(written(0.9e-5, 1.1, 6), ["1e-5", "0.0001", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(written(0.38, 0.63, 6), ["0.4", "0.45", "0.5", "0.55", "0.6"]);
        assert!(log(1e-30, 1e30, 6).len() <= 6);
    }

    #[test]
    fn no_range_has_no_ticks() {
        for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert!(linear(low, high, 5, false).is_empty());
        }
        assert!(linear(f64::MIN, f64::MAX, 5, false).len() <= 5);
    }
}
