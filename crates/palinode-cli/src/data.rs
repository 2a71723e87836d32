//! `palinode data`.

use crate::output::{plain, say, shown};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use palinode_train::data::{
    ImageSource, Mean, Patience, SourceName, Split, Survey, Twins, class_counts, fetch,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
            say!("{}", json!({ "name": self.name, "directory": shown(&directory) }))?;
        } else {
            say!("{}: in {}", self.name, directory.display())?;
        }
        Ok(())
    }
}

impl Info {
    fn run(self) -> anyhow::Result<()> {
        let source = SourceName::parse(&self.name)?;
        let directory = self.data_dir.as_deref();
        let load = |split| source.load(directory, split);
        let (train, test) =
            match [Split::Train, Split::Test].map(|split| source.holds(directory, split)) {
                [true, false] => (Some(load(Split::Train)?), None),
                [false, true] => (None, Some(load(Split::Test)?)),
                // Where there is neither, the error says what was looked for.
                _ => (Some(load(Split::Train)?), Some(load(Split::Test)?)),
            };
        let splits = [train.as_ref(), test.as_ref()];
        let [train_survey, test_survey] =
            splits.map(|split| split.map(|images| Survey::of(images, Mean::Channel)).transpose());
        let surveys = [train_survey?, test_survey?];
        let found = splits.iter().flatten().zip(surveys.iter().flatten()).next();
        let Some((described, survey)) = found else {
            anyhow::bail!("{}: there are no images", self.name);
        };
        let info = survey.describe(described);
        let mut remarks: Vec<String> =
            splits.iter().flatten().flat_map(|split| split.remarks()).collect();
        for (split, survey) in splits.into_iter().zip(&surveys) {
            if let (Some(split), Some(survey)) = (split, survey) {
                remarks.extend(survey.in_two_classes(split).remark(split));
            }
        }
        let shared = match &surveys {
            [Some(train), Some(test)] => Some(train.shared_with(test)),
            _ => None,
        };
        let counts = splits.map(|split| split.map(class_counts));
        if self.json {
            return say!(
                "{}",
                json!({
                    "name": self.name,
                    "train": train.as_ref().map(ImageSource::len),
                    "test": test.as_ref().map(ImageSource::len),
                    "channels": info.channels,
                    "size": info.size,
                    "padding": info.padding,
                    "mean": info.mean,
                    "std": info.std,
                    "classes": info.classes,
                    "train_per_class": counts[0],
                    "test_per_class": counts[1],
                    "overlap": shared.as_ref().map(Twins::len),
                    "remarks": remarks,
                })
            );
        }
        let number = |split: &Option<Arc<dyn ImageSource>>| match split {
            Some(images) => images.len().to_string(),
            None => "no".to_owned(),
        };
        say!("{}: {} training and {} test images", self.name, number(&train), number(&test))?;
        if let (Some(shared), Some(test)) = (&shared, &test) {
            let named = match shared.is_empty() {
                true => String::new(),
                false => format!(": {}", plain(&shared.named(described, test))),
            };
            say!("{} of the test images are also training images{named}", shared.len())?;
        }
        let [rows, columns] = info.size;
        say!(
            "{} × {rows} × {columns}, {} of it padding on each side",
            info.channels,
            info.padding
        )?;
        let of = if train.is_some() { "training" } else { "test" };
        say!("mean {:.4?}, standard deviation {:.4?} (all {of} images)", info.mean, info.std)?;
        for (class, name) in info.classes.iter().enumerate() {
            let [train, test] = counts.each_ref().map(|counts| match counts {
                Some(counts) => counts[class].to_string(),
                None => "–".to_owned(),
            });
            say!("{:<16}{train:>8}{test:>8}", plain(name))?;
        }
        remarks.iter().try_for_each(|remark| say!("note: {}", plain(remark)))
    }
}
