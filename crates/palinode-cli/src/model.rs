//! Which model a sub-command is about.

use clap::Args;
use palinode::network::{Layout, NetworkConfig, Variant};

/// A model by name, and what differs from it.
#[derive(Debug, Args)]
pub struct Model {
    /// Model name.
    #[arg(long = "model", value_name = "NAME", default_value = "hamiltonian-218")]
    pub name: String,
    /// How the units are put together (default: report, for the baselines paper).
    #[arg(long, value_name = "LAYOUT", value_parser = layout)]
    layout: Option<Layout>,
    /// Variant: plain, regularized, inception or inception-large.
    #[arg(long, value_name = "VARIANT", value_parser = variant, default_value = "plain")]
    pub variant: Variant,
    /// Batch norm inside the residuals.
    #[arg(long)]
    block_norm: bool,
}

impl Model {
    /// Its description, for RGB images of 32×32 in ten classes.
    pub fn config(&self) -> anyhow::Result<NetworkConfig> {
        let mut config = NetworkConfig::named(&self.name)?.with_variant(self.variant);
        config.block_norm |= self.block_norm;
        Ok(match self.layout {
            Some(layout) => config.with_layout(layout),
            None => config,
        })
    }
}

/// A layout by its name.
pub fn layout(name: &str) -> Result<Layout, String> {
    match name {
        "report" => Ok(Layout::Report),
        "paper" => Ok(Layout::Paper),
        _ => Err("expected report or paper".to_owned()),
    }
}

/// A variant by its name.
pub fn variant(name: &str) -> Result<Variant, String> {
    Variant::parse(name).map_err(|error| error.to_string())
}
