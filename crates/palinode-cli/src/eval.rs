//! `palinode eval`.

use crate::options::{DataSplit, OnDevice, at_most};
use crate::output::say;
use clap::Args;
use palinode::Context;
use palinode::network::WeightFile;
use palinode::reversible::Differentiation;
use palinode_train::data::ImageSource;
use palinode_train::report::loss;
use palinode_train::train::{EVALUATION_BATCH, evaluate};
use serde_json::json;
use std::path::PathBuf;

/// Options of `palinode eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// Weight file.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    #[command(flatten)]
    data: DataSplit,
    /// Batch size.
    #[arg(long, value_name = "N", default_value_t = EVALUATION_BATCH, value_parser = at_most(65_536))]
    batch_size: usize,
    #[command(flatten)]
    device: OnDevice,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let file = WeightFile::load(&self.weights)?;
        let device = self.device.open()?;
        let dataset = self.data.load(&file)?;
        let network = file.network(Differentiation::Stored, &device)?;
        let network = network.with_context(context)?;
        let found = evaluate(&network, &dataset, &file.data, self.batch_size)?;
        if self.json {
            let object = json!({
                "accuracy": found.accuracy,
                "loss": found.loss,
                "images": dataset.len(),
            });
            say!("{object}")?;
        } else {
            say!(
                "accuracy {:.2} %, loss {}, {} images",
                100.0 * found.accuracy,
                loss(found.loss),
                dataset.len()
            )?;
        }
        Ok(())
    }
}
