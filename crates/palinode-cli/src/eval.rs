//! `palinode eval`.

use crate::at_most;
use clap::Args;
use palinode::Context;
use palinode::network::WeightFile;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::data::{self, Dataset, FolderOptions, SourceName};
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
    data: DataPart,
    /// Images at a time.
    #[arg(long, value_name = "N", default_value_t = EVALUATION_BATCH, value_parser = at_most(65_536))]
    batch_size: usize,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// A part of a data set.
#[derive(Debug, Args)]
pub struct DataPart {
    /// Data set [default: fashion-mnist-mini].
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Its directory, where it is not found by itself.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Which part of it.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
}

/// The parts of a data set as files hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// All training images, validation included.
    Train,
    /// The test images.
    Test,
}

impl DataPart {
    /// Whether the command line names a data set.
    pub fn is_given(&self) -> bool {
        self.data.is_some() || self.data_dir.is_some()
    }

    /// Reads it, and checks that it suits the weight file.
    pub fn load(&self, file: &WeightFile) -> anyhow::Result<Dataset> {
        let split = match self.split {
            Split::Train => data::Split::Train,
            Split::Test => data::Split::Test,
        };
        let source = match &self.data {
            Some(name) => SourceName::parse(name)?,
            None => SourceName::default(),
        };
        let options = FolderOptions::of(&file.data);
        let dataset = source.load_as(self.data_dir.as_deref(), split, options)?;
        let expected = (file.data.channels, file.data.size, file.data.classes.len());
        let found = (dataset.channels, dataset.size, dataset.classes.len());
        anyhow::ensure!(
            expected == found,
            "--data {}: (channels, size, classes) are {found:?}, the weights expect {expected:?}",
            source.name()
        );
        Ok(dataset)
    }
}

impl Eval {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let file = WeightFile::load(&self.weights)?;
        let dataset = self.data.load(&file)?;
        let network = file.network(Differentiation::Stored, &Device::flex())?;
        let network = network.with_context(context)?;
        let found = evaluate(&network, &dataset, &file.data, self.batch_size)?;
        if self.json {
            let object = json!({
                "accuracy": found.accuracy,
                "loss": found.loss,
                "images": dataset.len(),
            });
            println!("{object}");
        } else {
            println!(
                "accuracy {:.2} %, loss {:.4}, {} images",
                100.0 * found.accuracy,
                found.loss,
                dataset.len()
            );
        }
        Ok(())
    }
}
