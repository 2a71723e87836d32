//! `palinode params`.

use crate::options::{Model, Units};
use crate::output::say;
use clap::Args;
use serde_json::{Map, json};

/// Options of `palinode params`.
#[derive(Debug, Args)]
pub struct Params {
    #[command(flatten)]
    model: Model,
    /// Classes.
    #[arg(long, value_name = "N", default_value_t = 10)]
    classes: usize,
    /// Input channels.
    #[arg(long, value_name = "N", default_value_t = 3)]
    channels: usize,
    #[command(flatten)]
    units: Units,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Params {
    pub fn run(self) -> anyhow::Result<()> {
        let config = self.model.config()?.for_data(self.channels, [32, 32], self.classes);
        let config = self.units.in_place_of(config)?;
        let counted = config.parameter_count();
        if self.json {
            let parts: Map<_, _> =
                counted.parts.iter().map(|(part, count)| (part.clone(), json!(count))).collect();
            let object = json!({
                "model": self.model.name,
                "layout": config.layout,
                "variant": self.model.variant.name(),
                "classes": self.classes,
                "channels": self.channels,
                "total": counted.total,
                "parts": parts,
            });
            say!("{object}")?;
            return Ok(());
        }
        for (part, count) in &counted.parts {
            say!("{part:<12}{count:>12}")?;
        }
        say!("{:<12}{:>12}", "total", counted.total)?;
        Ok(())
    }
}
