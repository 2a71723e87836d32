//! `palinode data`.

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use palinode_train::data::{Mean, Patience, SourceName, Split, describe, fetch, overlap};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Sub-commands of `palinode data`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Sizes, classes and statistics of a data set.
    Info(Info),
    /// Download a data set from its authors, or continue a download.
    Fetch(Fetch),
}

/// Options of `palinode data fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// Data set: fashion-mnist, cifar-10, cifar-100 or stl-10.
    #[arg(value_name = "NAME")]
    name: String,
    /// Directory to put it in (default: its name in data/, where the other commands find it).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of a mirror that has the authors' files under the same names.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

/// Options of `palinode data info`.
#[derive(Debug, Args)]
pub struct Info {
    /// Data set.
    #[arg(value_name = "NAME", default_value = "fashion-mnist-mini")]
    name: String,
    /// Its directory (default: where it is usually installed).
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
            Self::Fetch(fetch) => fetch.run(),
        }
    }
}

impl Fetch {
    fn run(self) -> anyhow::Result<()> {
        let source = SourceName::parse(&self.name)?;
        let directory = self.data_dir.unwrap_or_else(|| Path::new("data").join(&self.name));
        let bar = match self.quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(0),
        };
        bar.set_style(ProgressStyle::with_template(
            "{msg} {bar:24.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        )?);
        let url = self.url.as_deref();
        let done = fetch(source, url, &directory, Patience::default(), &mut |file, so_far, all| {
            if bar.message() != file {
                bar.set_message(file.to_owned());
                bar.set_length(all);
            }
            bar.set_position(so_far);
        });
        bar.finish_and_clear();
        done?;
        if self.json {
            println!("{}", json!({ "name": self.name, "directory": directory }));
        } else {
            println!("{}: in {}", self.name, directory.display());
        }
        Ok(())
    }
}

impl Info {
    fn run(self) -> anyhow::Result<()> {
        let source = SourceName::parse(&self.name)?;
        let train = source.load(self.data_dir.as_deref(), Split::Train)?;
        let test = source.load(self.data_dir.as_deref(), Split::Test)?;
        let info = describe(&train, Mean::Channel)?;
        let shared = overlap(&train, &test)?;
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
                "overlap": shared,
            });
            println!("{object}");
            return Ok(());
        }
        println!("{}: {} training and {} test images", self.name, train.len(), test.len());
        println!("{shared} of the test images are also training images");
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
