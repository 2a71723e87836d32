//! `palinode bench reversal`.

use crate::options::{DataSplit, OnDevice, at_most};
use crate::output::{say, shown};
use clap::Args;
use palinode::Context;
use palinode::check::reversal_errors;
use palinode::network::WeightFile;
use palinode::reversible::Differentiation;
use palinode_train::Error;
use serde_json::json;
use std::path::PathBuf;

/// Options of `palinode bench reversal`.
#[derive(Debug, Args)]
pub struct Reversal {
    /// Weight files.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    weights: Vec<PathBuf>,
    /// Which images.
    #[command(flatten)]
    data: DataSplit,
    /// Images: the first of the data set.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_most(4096))]
    batch_size: usize,
    #[command(flatten)]
    device: OnDevice,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Reversal {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let device = self.device.open()?;
        let mut rows = Vec::new();
        for path in &self.weights {
            let file = WeightFile::load(path)?;
            let images = self.data.first_images(&file, self.batch_size, &device)?;
            let network = file.network(Differentiation::Stored, &device)?.with_context(context)?;
            let errors = reversal_errors(&network, images)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            if errors.iter().any(|error| !error.is_finite()) {
                let place = format!("{}: units {errors:?}", path.display());
                return Err(Error::NonFinite { what: "the error of a reversal", place }.into());
            }
            if !self.json {
                let text: Vec<String> = errors.iter().map(|error| format!("{error:.1e}")).collect();
                say!("{}: {}", path.display(), text.join("  "))?;
            }
            rows.push(json!({ "weights": shown(path), "errors": errors }));
        }
        if self.json {
            say!("{}", json!({ "rows": rows }))?;
        }
        Ok(())
    }
}
