//! `palinode params`.

use crate::model::Model;
use clap::Args;
use palinode::network::count;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
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
    /// Blocks per unit instead of the model's.
    #[arg(long, value_name = "N,N,N", value_delimiter = ',')]
    blocks: Vec<usize>,
    /// Channels per unit instead of the model's.
    #[arg(long, value_name = "C,C,C", value_delimiter = ',')]
    widths: Vec<usize>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Three numbers, one per unit, or none.
pub fn per_unit(option: &str, numbers: &[usize]) -> anyhow::Result<Option<[usize; 3]>> {
    if numbers.is_empty() {
        return Ok(None);
    }
    match <[usize; 3]>::try_from(numbers) {
        Ok(numbers) => Ok(Some(numbers)),
        Err(_) => anyhow::bail!("{option}: {} numbers, expected one per unit: 3", numbers.len()),
    }
}

impl Params {
    pub fn run(self) -> anyhow::Result<()> {
        let mut config = self.model.config()?.for_data(self.channels, [32, 32], self.classes);
        if let Some(blocks) = per_unit("--blocks", &self.blocks)? {
            config.blocks = blocks;
        }
        if let Some(widths) = per_unit("--widths", &self.widths)? {
            config.widths = widths;
        }
        let counted = count(&config.init(0, Differentiation::Stored, &Device::flex())?);
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
            println!("{object}");
            return Ok(());
        }
        for (part, count) in &counted.parts {
            println!("{part:<12}{count:>12}");
        }
        println!("{:<12}{:>12}", "total", counted.total);
        Ok(())
    }
}
