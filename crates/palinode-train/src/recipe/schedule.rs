//! Learning-rate schedules.

use super::setters::setters;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Which curve the learning rate follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The rate itself.
    Constant,
    /// Times `factor` at each of `drops`.
    #[default]
    Steps,
    /// A linear rise from 0, then half a cosine to 0.
    Cosine,
    /// A linear rise from 1/25 of the rate, then half a cosine to 0.
    OneCycle,
}

impl Kind {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Steps => "steps",
            Self::Cosine => "cosine",
            Self::OneCycle => "one-cycle",
        }
    }
}

/// `[schedule]`: how the learning rate changes during a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Schedule {
    /// The curve.
    pub kind: Kind,
    /// Epochs after which the rate drops (`steps`).
    pub drops: Vec<usize>,
    /// Factor of each drop (`steps`).
    pub factor: f64,
    /// Fraction of all steps for the rise (`cosine`, `one-cycle`), in 0…1.
    pub warm_up: f64,
}

/// The schedule of report and paper: ×0.1 after 80, 120 and 160 epochs.
impl Default for Schedule {
    fn default() -> Self {
        Self { kind: Kind::Steps, drops: vec![80, 120, 160], factor: 0.1, warm_up: 0.0 }
    }
}

setters!(Schedule {
    with_kind => kind: Kind,
    with_drops => drops: Vec<usize>,
    with_factor => factor: f64,
    with_warm_up => warm_up: f64,
});

impl Schedule {
    /// The factor of the learning rate at step `step` of `total`, in epoch `epoch`, both from 0.
    pub fn factor_at(&self, epoch: usize, step: usize, total: usize) -> f64 {
        let floor = match self.kind {
            Kind::Constant => return 1.0,
            Kind::Steps => {
                let dropped = self.drops.iter().filter(|&&drop| epoch >= drop).count();
                return self.factor.powi(dropped as i32);
            }
            Kind::Cosine => 0.0,
            Kind::OneCycle => 1.0 / 25.0,
        };
        let rise = self.warm_up * total as f64;
        // Counted from the middle of a step, so that neither the first nor the last rate is zero.
        let now = step as f64 + 0.5;
        if now < rise {
            return floor + (1.0 - floor) * now / rise;
        }
        let fall = (now - rise) / (total as f64 - rise).max(1.0);
        0.5 * (1.0 + (PI * fall.min(1.0)).cos())
    }

    /// Whether the rate of a step does not depend on the number of epochs, so that a run can be trained on.
    pub fn is_open_ended(&self) -> bool {
        matches!(self.kind, Kind::Constant | Kind::Steps)
    }

    pub(super) fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.warm_up) {
            let reason = format!("{} is not at least 0 and below 1", self.warm_up);
            return Err(Error::config("schedule.warm_up", reason));
        }
        if !(self.factor.is_finite() && self.factor > 0.0) {
            let reason = format!("{} is not positive", self.factor);
            return Err(Error::config("schedule.factor", reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_drop_after_the_named_epochs() {
        let at = |epoch| Schedule::default().factor_at(epoch, 0, 1);
        assert_eq!([at(0), at(79)], [1.0, 1.0]);
        assert!((at(80) - 0.1).abs() < 1e-15 && (at(119) - 0.1).abs() < 1e-15);
        assert!((at(160) - 1e-3).abs() < 1e-15);
    }

    #[test]
    fn one_cycle_rises_to_one_and_falls_to_nothing() {
        let schedule = Schedule { kind: Kind::OneCycle, warm_up: 0.25, ..Schedule::default() };
        let curve: Vec<f64> = (0..1000).map(|step| schedule.factor_at(0, step, 1000)).collect();
        assert!((curve[0] - 0.04).abs() < 0.01, "starts at {}", curve[0]);
        assert!(curve[..250].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(curve[250..].windows(2).all(|pair| pair[0] > pair[1]));
        assert!((curve[250] - 1.0).abs() < 1e-4 && curve[999] < 1e-5 && curve[999] > 0.0);
        assert!((curve[625] - 0.5).abs() < 0.01);
    }
}
