//! `palinode params`.

use crate::train::Variant;
use clap::{Args, ValueEnum};
use palinode::network::{Layout, NetworkConfig, count};
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use serde_json::{Map, json};

/// Options of `palinode params`.
#[derive(Debug, Args)]
pub struct Params {
    /// Model name.
    #[arg(long, value_name = "NAME")]
    model: String,
    /// How the units are put together.
    #[arg(long, value_enum, default_value_t = LayoutName::Report)]
    layout: LayoutName,
    /// Variant of the network.
    #[arg(long, value_enum, default_value_t = Variant::Plain)]
    variant: Variant,
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

/// The library's layouts as the command line spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayoutName {
    /// The report's.
    Report,
    /// The paper's.
    Paper,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Report => Self::Report,
            LayoutName::Paper => Self::Paper,
        }
    }
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
        let mut config = NetworkConfig::named(&self.model)?
            .with_layout(self.layout.into())
            .for_data(self.channels, [32, 32], self.classes);
        if let Some(blocks) = per_unit("--blocks", &self.blocks)? {
            config.blocks = blocks;
        }
        if let Some(widths) = per_unit("--widths", &self.widths)? {
            config.widths = widths;
        }
        let counted = count(&config.init(0, Differentiation::Stored, &Device::flex())?);
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        if self.json {
            let parts: Map<_, _> =
                counted.parts.iter().map(|(part, count)| (part.clone(), json!(count))).collect();
            let object = json!({
                "model": self.model,
                "layout": name(self.layout.to_possible_value()),
                "variant": name(self.variant.to_possible_value()),
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
