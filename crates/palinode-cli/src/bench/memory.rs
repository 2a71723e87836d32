//! `palinode bench memory`.

use crate::allocator::meter_of;
use crate::options::{InType, Mode, Model, OnDevice, StateOption, at_most};
use crate::output::say;
use clap::Args;
use palinode::Context;
use palinode::file::write_atomically;
use palinode::reversible::Differentiation;
use palinode_train::bench::{StepMeasurement, StepPlan, measure_step, memory_chart};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

/// Options of `palinode bench memory`.
#[derive(Debug, Args)]
pub struct Memory {
    #[command(flatten)]
    model: Model,
    /// Depths to measure, in blocks per unit.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "2,6,18")]
    blocks: Vec<usize>,
    /// Modes to measure.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "stored,checkpointed,reversible"
    )]
    modes: Vec<Mode>,
    /// Images per step.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_most(65_536))]
    batch_size: usize,
    /// Seed of weights and images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: OnDevice,
    #[command(flatten)]
    number_type: InType,
    #[command(flatten)]
    state: StateOption,
    /// Write the rows to this file as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw memory against depth into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Memory {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let device = self.device.open()?;
        let meter = meter_of(&device);
        let mut rows = Vec::new();
        for &blocks in &self.blocks {
            let mut config = self.model.config()?;
            config.blocks.fill(blocks);
            let reversible = config.usual_mode() == Differentiation::Reversible;
            for &mode in &self.modes {
                if self.modes.len() > 1 && mode == Mode::Reversible && !reversible {
                    // A scheme without inverse is measured in the other modes.
                    continue;
                }
                let plan = StepPlan {
                    modes: Differentiation::from(mode).into(),
                    batch_size: self.batch_size,
                    seed: self.seed,
                    device: device.clone(),
                    precision: self.number_type.precision,
                    state: self.state.kind,
                    watched: true,
                    group: None,
                };
                let row = measure_step(&config, &plan, meter.as_ref(), context)?;
                if !self.json {
                    print_row(&row, rows.is_empty())?;
                }
                rows.push(row);
            }
        }
        if let Some(path) = &self.csv {
            write_atomically(path, as_csv(&rows)?.as_bytes())?;
        }
        if let Some(path) = &self.svg {
            let (family, batch) = (family(&self.model.name), self.batch_size);
            let title = format!("Peak memory of a training step: {family}, batch {batch}");
            write_atomically(path, memory_chart(&title, &rows)?.as_bytes())?;
        }
        if self.json {
            say!("{}", json!({ "rows": rows }))?;
        }
        Ok(())
    }
}

/// The model's name without its depth, because the depth varies here.
fn family(model: &str) -> &str {
    match model.rsplit_once('-') {
        Some((family, depth)) if depth.parse::<usize>().is_ok() => family,
        _ => model,
    }
}

fn print_row(row: &StepMeasurement, first: bool) -> anyhow::Result<()> {
    if first {
        say!("blocks  layers  mode          seconds  total MB  activations MB  workspace MB")?;
    }
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    say!(
        "{:>6}  {:>6}  {:<12}  {:>7.3}  {:>8.1}  {:>14.1}  {:>12.1}",
        row.blocks,
        row.layers,
        row.mode,
        row.seconds,
        megabytes(row.peak_bytes.total),
        megabytes(row.peak_bytes.activations),
        megabytes(row.peak_bytes.workspace),
    )
}

fn as_csv(rows: &[StepMeasurement]) -> anyhow::Result<String> {
    let mut text = String::from(
        "blocks,layers,mode,seconds,total,parameters,gradients,optimizer,activations,workspace\n",
    );
    for row in rows {
        let p = &row.peak_bytes;
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{}",
            row.blocks,
            row.layers,
            row.mode,
            row.seconds,
            p.total,
            p.parameters,
            p.gradients,
            p.optimizer,
            p.activations,
            p.workspace
        )?;
    }
    Ok(text)
}
