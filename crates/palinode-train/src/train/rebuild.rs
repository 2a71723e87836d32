//! Writing the report of a finished run again.

use super::checkpoint;
use super::directory::RunDirectory;
use super::evaluate::{evaluate, evaluation_batch};
use super::events::EventLog;
use super::metrics;
use super::outcome::Outcome;
use super::position::Best;
use crate::data::{ImageSource, Mean, Relabelled, Split, Survey};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::report;
use burn::tensor::Device;
use palinode::file::write_atomically;
use palinode::network::WeightFile;
use std::path::{Path, PathBuf};

/// A page that was written again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The page.
    pub page: PathBuf,
    /// Why it has no part about the test images, where the run has tested on some.
    pub untested: Option<String>,
}

/// Writes the report of the finished run in `path` again. Where its test images cannot be read any more or have
/// changed, the report says so and has no part about them.
///
/// # Errors
/// [`palinode::Error::Config`] where it holds no finished run, or where another process works in it; what keeps
/// its files from being read.
pub fn rebuild_report(path: &Path) -> Result<Rebuilt> {
    let directory = RunDirectory::open(path)?;
    let (_lock, _) = directory.lock()?;
    // Runs of older versions have no checksum, or a checkpoint that cannot be read.
    let found = checkpoint::find(&directory).ok().flatten();
    let began = found.and_then(|found| found.checkpoint.position.data.test);
    let recipe = Recipe::load(&directory.config(), &[])?;
    if recipe.training.epochs == 0 {
        let reason = format!("{} was run for 0 epochs: there is nothing to report", path.display());
        return Err(Error::config("run", reason));
    }
    let outcome = Outcome::load(&directory)?.ok_or_else(|| {
        let reason = format!("{} is not finished; go on with train --resume", path.display());
        Error::config("run", reason)
    })?;
    let rows = metrics::read(&directory.metrics())?;
    let best = WeightFile::load(&directory.weights("best"))?;
    let network = best.network(best.config.usual_mode(), &Device::flex())?;
    let (mut tested, mut untested) = (None, None);
    if outcome.test_accuracy.is_some() {
        let test = recipe.data.load(Split::Test).and_then(|test| {
            let test = recipe.data.room(&[], 1)?.keep(test);
            let test = Relabelled::new(test, &best.data.classes)?;
            Ok((Survey::of(&test, Mean::Channel)?.checksum(&test), test))
        });
        match test {
            Ok((sum, _)) if began.is_some_and(|began| sum != began) => {
                untested = Some("the images are not those that the run was tested on".to_owned());
            }
            Ok((_, test)) => {
                let found = evaluate(
                    &network,
                    &test,
                    &best.data,
                    evaluation_batch(recipe.training.batch_size),
                )?;
                tested = Some((test, found));
            }
            Err(error) => untested = Some(error.to_string()),
        }
    }
    let page = report::Report {
        title: &format!("{} on {}", best.config.model, recipe.data.name.name()),
        outcome: &outcome,
        config: &recipe.to_toml()?,
        modes: &recipe.training.modes_for(&best.config),
        network: &network,
        rows: &rows,
        best: Best::of(&rows),
        tested: tested.as_ref().map(|(test, found)| (test as &dyn ImageSource, found)),
    };
    write_atomically(&directory.report(), page.to_html()?.as_bytes())?;
    write_atomically(&directory.curves(), report::curves(&rows)?.as_bytes())?;
    EventLog::open(directory.path())?.add(&rows)?;
    Ok(Rebuilt { page: directory.report(), untested })
}
