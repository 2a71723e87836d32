//! What is timed, how often, and the times.

use crate::options::at_most;
use clap::Args;
use serde::Serialize;
use std::fmt;

/// How often something is timed, on how much.
#[derive(Debug, Args)]
pub struct Repeats {
    /// Images per step.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_most(65_536))]
    pub batch_size: usize,
    /// Steps before the clock counts.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warm_up: usize,
    /// Steps that are timed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_most(100_000))]
    pub repeats: usize,
    /// Seed of weights and images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print the result as one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Wall times of some steps.
#[derive(Debug, Default, Serialize)]
pub struct Seconds {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Seconds {
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (times.first(), times.last()) else {
            return Self::default();
        };
        let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0;
        Self { min, median, max }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} s ({:.4} to {:.4})", self.median, self.min, self.max)
    }
}
