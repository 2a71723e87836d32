//! `palinode bench`.

mod convolutions;
mod memory;
mod resident;
mod reversal;
mod step;

use crate::at_most;
use clap::{Args, Subcommand};
use palinode::Context;
use palinode_train::bench::Meter;
use serde::Serialize;
use std::fmt;

/// Sub-commands of `palinode bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Time and peak bytes of a whole training step on random images.
    Step(step::Step),
    /// Peak bytes and seconds of a training step against depth, on random images.
    Memory(memory::Memory),
    /// Time of the plain convolutions of resnet-32, forwards and backwards, on random images.
    Convolutions(convolutions::Convolutions),
    /// How exactly the units of trained networks come back: for each unit the relative error of its
    /// reconstructed input.
    Reversal(reversal::Reversal),
}

/// How often something is timed, on how much.
#[derive(Debug, Args)]
struct Repeats {
    /// Images per step.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_most(65_536))]
    batch_size: usize,
    /// Steps before the clock counts.
    #[arg(long, value_name = "N", default_value_t = 2)]
    warm_up: usize,
    /// Steps that are timed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_most(100_000))]
    repeats: usize,
    /// Seed of weights and images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Wall times of some steps.
#[derive(Debug, Default, Serialize)]
struct Seconds {
    min: f64,
    median: f64,
    max: f64,
}

impl Seconds {
    fn of(mut times: Vec<f64>) -> Self {
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

/// The program's counting allocator.
struct Allocator;

impl Meter for Allocator {
    fn current(&self) -> usize {
        crate::MEMORY.live()
    }

    fn peak(&self) -> usize {
        crate::MEMORY.peak()
    }

    fn reset_peak(&self) {
        crate::MEMORY.reset_peak();
    }
}

impl Bench {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Step(step) => step.run(context),
            Self::Memory(memory) => memory.run(context),
            Self::Convolutions(convolutions) => convolutions.run(context),
            Self::Reversal(reversal) => reversal.run(context),
        }
    }
}
