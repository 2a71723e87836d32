//! `palinode bench ranks`.

use super::timing::Seconds;
use crate::output::say;
use clap::Args;
use palinode::ranks::{Group, Ranks as _};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Options of `palinode bench ranks`.
#[derive(Debug, Args)]
pub struct Ranks {
    /// Sums of each length that are timed.
    #[arg(long, value_name = "N", default_value_t = 50)]
    repeats: usize,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Figures {
    ranks: usize,
    sums: Vec<Sum>,
}

/// The sum of an array over all ranks.
#[derive(Serialize)]
struct Sum {
    bytes: usize,
    /// The median time.
    seconds: f64,
}

impl Ranks {
    pub fn run(self, group: Option<&Arc<Group>>) -> anyhow::Result<()> {
        let Some(group) = group else {
            anyhow::bail!(
                "there is one rank alone; start several with `mpirun -n 2 palinode bench ranks`"
            );
        };
        let sums: Vec<Sum> = (0..8).map(|power| self.sum(group, 1 << (3 * power))).collect();
        if group.rank() > 0 {
            return Ok(());
        }
        let figures = Figures { ranks: group.count(), sums };
        if self.json {
            return say!("{}", serde_json::to_string(&figures)?);
        }
        say!("sums over {} ranks", figures.ranks)?;
        for Sum { bytes, seconds } in &figures.sums {
            let rate = *bytes as f64 / seconds / 1e6;
            say!("{bytes:>10} bytes  {:>10.1} µs  {rate:>8.1} MB/s", 1e6 * seconds)?;
        }
        Ok(())
    }

    /// The time of the sum of so many numbers.
    fn sum(&self, group: &Group, count: usize) -> Sum {
        let mut numbers = vec![1.0_f32; count];
        // So that all begin together, and what is made at the first message does not count.
        group.add_f32(&mut numbers);
        let times = (0..self.repeats.max(1))
            .map(|_| {
                numbers.fill(1.0);
                let began = Instant::now();
                group.add_f32(&mut numbers);
                began.elapsed().as_secs_f64()
            })
            .collect();
        Sum { bytes: 4 * count, seconds: Seconds::of(times).median }
    }
}
