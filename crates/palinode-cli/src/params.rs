//! `palinode params`.

use crate::options::Model;
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
    /// Blocks of every unit (1 to 64 units) instead of the model's.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    blocks: Vec<usize>,
    /// Channels of every unit instead of the model's.
    #[arg(long, value_name = "C,…", value_delimiter = ',')]
    widths: Vec<usize>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Params {
    pub fn run(self) -> anyhow::Result<()> {
        let mut config = self.model.config()?.for_data(self.channels, [32, 32], self.classes);
        if !self.blocks.is_empty() {
            config.blocks = self.blocks;
        }
        if !self.widths.is_empty() {
            config.widths = self.widths;
        }
        let (blocks, widths) = (config.blocks.len(), config.widths.len());
        anyhow::ensure!(
            blocks == widths,
            "--blocks and --widths: {blocks} blocks and {widths} widths, expected one of each per unit"
        );
        config.validate()?;
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
