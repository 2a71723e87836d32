//! `palinode data`.

use clap::{Args, Subcommand};
use palinode::data::{DataInfo, Part, SourceName};
use serde_json::json;
use std::path::PathBuf;

/// Sub-commands of `palinode data`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Sizes, classes and statistics of a data set.
    Info(Info),
}

/// Options of `palinode data info`.
#[derive(Debug, Args)]
pub struct Info {
    /// Data set.
    #[arg(value_name = "NAME", default_value = "fashion-mnist-mini")]
    name: String,
    /// Its directory, where it is not found by itself.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Data {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Info(info) => info.run(),
        }
    }
}

impl Info {
    fn run(self) -> anyhow::Result<()> {
        let source = SourceName::parse(&self.name)?;
        let train = source.load(self.data_dir.as_deref(), Part::Train)?;
        let test = source.load(self.data_dir.as_deref(), Part::Test)?;
        let info = DataInfo::of(&train);
        let (train_counts, test_counts) = (train.class_counts(), test.class_counts());
        if self.json {
            let object = json!({
                "name": self.name,
                "train": train.len(),
                "test": test.len(),
                "channels": train.channels,
                "size": train.size,
                "padding": train.padding,
                "mean": info.mean,
                "std": info.std,
                "classes": train.classes,
                "train_per_class": train_counts,
                "test_per_class": test_counts,
            });
            println!("{object}");
            return Ok(());
        }
        println!("{}: {} training and {} test images", self.name, train.len(), test.len());
        let [rows, columns] = train.size;
        println!(
            "{} × {rows} × {columns}, {} of it padding on each side",
            train.channels, train.padding
        );
        println!(
            "mean {:.4?}, standard deviation {:.4?} (all training images)",
            info.mean, info.std
        );
        for (class, name) in train.classes.iter().enumerate() {
            println!("{name:<16}{:>8}{:>8}", train_counts[class], test_counts[class]);
        }
        Ok(())
    }
}
