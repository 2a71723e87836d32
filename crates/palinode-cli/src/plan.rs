//! `palinode plan`.

use crate::options::{ImageSize, Model, Units, at_most};
use crate::output::say;
use anyhow::{Context as _, anyhow};
use bytesize::ByteSize;
use clap::Args;
use palinode::Context;
use palinode::memory::usable_bytes;
use palinode::network::{MemoryModel, Modes, NetworkConfig, StepPeak};
use palinode::reversible::Differentiation;
use serde_json::{Value, json};

/// Options of `palinode plan`.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    units: Units,
    /// Images of a batch that is asked about.
    #[arg(long, value_name = "N", value_parser = at_most(1 << 20))]
    batch_size: Option<usize>,
    #[command(flatten)]
    size: ImageSize,
    /// Channels of the images.
    #[arg(long, value_name = "N", default_value_t = 3)]
    channels: usize,
    /// Classes.
    #[arg(long, value_name = "N", default_value_t = 10)]
    classes: usize,
    /// Memory for a training step: 8GiB, 800MB, a number of bytes (default: what is free on this machine, less
    /// a sixteenth). Measured peaks differ from the plan by up to a tenth.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory: Option<ByteSize>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// `8GiB`.
fn bytes(text: &str) -> anyhow::Result<ByteSize> {
    text.parse().map_err(|_| anyhow!("expected a number of bytes, as in 8GiB or 800MB"))
}

/// A batch, and the modes it is trained in if it fits.
struct Fitted {
    batch: usize,
    modes: Modes,
    peak: StepPeak,
}

impl Fitted {
    fn of(model: &MemoryModel, bytes: u64, batch: usize) -> palinode::Result<Option<Self>> {
        let found = model.within(bytes, batch)?;
        Ok(found.map(|(modes, peak)| Self { batch, modes, peak }))
    }

    fn as_json(&self, units: usize) -> palinode::Result<Value> {
        let StepPeak { parameters, gradients, optimizer, images, activations, working, .. } =
            self.peak;
        Ok(json!({
            "batch_size": self.batch,
            "modes": self.modes.of_units(units)?,
            "peak_bytes": {
                "total": self.peak.total(),
                "parameters": parameters,
                "gradients": gradients,
                "optimizer": optimizer,
                "images": images,
                "activations": activations,
                "working": working,
            },
        }))
    }
}

impl Plan {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let config = self.config()?;
        let memory = match self.memory {
            Some(memory) => memory.as_u64(),
            None => {
                usable_bytes().context("--memory: this system does not say how much is free")?
            }
        };
        let model = MemoryModel::new(&config, context)?;
        let asked = match self.batch_size {
            Some(batch) => Fitted::of(&model, memory, batch)?,
            None => None,
        };
        let largest = match model.largest_batch(memory)? {
            0 => None,
            batch => Fitted::of(&model, memory, batch)?,
        };
        let least = |batch| {
            let choices = model.choices(batch)?;
            palinode::Result::Ok(choices.last().map_or(0, |(_, peak)| peak.total()))
        };
        if self.json {
            let units = config.widths.len();
            let or_null = |fitted: &Option<Fitted>| {
                fitted.as_ref().map_or(Ok(Value::Null), |fitted| fitted.as_json(units))
            };
            let object = json!({
                "model": self.model.name,
                "layout": config.layout,
                "variant": self.model.variant.name(),
                "size": config.size,
                "channels": config.channels,
                "threads": context.threads(),
                "memory": memory,
                "batch": or_null(&asked)?,
                "largest_batch": or_null(&largest)?,
                "least_bytes": least(self.batch_size.unwrap_or(1))?,
            });
            say!("{object}")?;
            return Ok(());
        }
        let [rows, columns] = config.size;
        say!(
            "{}, {}×{rows}×{columns}, {} threads, {} of memory for a training step with SGD",
            config.model,
            config.channels,
            context.threads(),
            readable(memory)
        )?;
        match (self.batch_size, &asked) {
            (Some(batch), None) => {
                say!("batch {batch} does not fit: it needs at least {}", readable(least(batch)?))?;
            }
            (_, Some(fitted)) => print(&config, fitted, "batch")?,
            (None, None) => {}
        }
        match &largest {
            None => say!("no batch fits: one image needs at least {}", readable(least(1)?))?,
            Some(fitted) if self.batch_size != Some(fitted.batch) => {
                print(&config, fitted, "largest batch")?;
            }
            Some(_) => say!("no larger batch fits")?,
        }
        Ok(())
    }

    fn config(&self) -> anyhow::Result<NetworkConfig> {
        let config = self.model.config()?;
        self.units.in_place_of(config.for_data(self.channels, self.size.extents, self.classes))
    }
}

/// A batch that fits: its peak by cause, and a line for each unit.
fn print(config: &NetworkConfig, fitted: &Fitted, what: &str) -> anyhow::Result<()> {
    let StepPeak { parameters, gradients, optimizer, images, activations, working, .. } =
        fitted.peak;
    say!("")?;
    say!("{what} {}: {} at the peak", fitted.batch, readable(fitted.peak.total()))?;
    let parts = [
        ("parameters", parameters),
        ("gradients", gradients),
        ("momentum", optimizer),
        ("images", images),
        ("activations", activations),
        ("working memory", working),
    ];
    for (part, bytes) in parts {
        say!("  {part:<16}{:>12}", readable(bytes))?;
    }
    say!("  unit  blocks  channels        map  mode")?;
    let modes = fitted.modes.of_units(config.widths.len())?;
    let units = config.blocks_per_unit().into_iter().zip(&config.widths).zip(&modes);
    for (unit, ((blocks, channels), mode)) in units.enumerate() {
        let [rows, columns] = config.map_of(unit);
        let map = format!("{rows}×{columns}");
        say!("  {unit:>4}  {blocks:>6}  {channels:>8}  {map:>9}  {}", mode.name())?;
    }
    if fitted.modes != Modes::Same(config.usual_mode()) {
        say!("  in a recipe: training.mode = {}", in_toml(&fitted.modes))?;
    }
    Ok(())
}

/// Modes as a recipe spells them.
fn in_toml(modes: &Modes) -> String {
    let quoted = |mode: &Differentiation| format!("\"{}\"", mode.name());
    match modes {
        Modes::Same(mode) => quoted(mode),
        Modes::Each(modes) => {
            let names: Vec<String> = modes.iter().map(quoted).collect();
            format!("[{}]", names.join(", "))
        }
    }
}

/// Bytes in the unit that gives one to three digits before the point.
fn readable(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}
