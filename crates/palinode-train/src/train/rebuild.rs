//! The page of a finished run, written anew.

use super::checkpoint::Best;
use super::directory::RunDirectory;
use super::events::event_file;
use super::images::read_test;
use super::metrics;
use super::outcome::Outcome;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::report;
use burn::tensor::Device;
use palinode::file::write_atomically;
use palinode::network::{WeightFile, count};
use std::path::{Path, PathBuf};

/// Writes the page of the finished run in `path` anew.
///
/// # Errors
/// [`Error::Config`] where it holds no finished run, and what keeps its files from being read.
pub fn rebuild_report(path: &Path) -> Result<PathBuf> {
    let directory = RunDirectory::open(path)?;
    let recipe = Recipe::load(&directory.config(), &[])?;
    let outcome = Outcome::load(&directory)?.ok_or_else(|| {
        let reason = format!("{} is not finished; go on with train --resume", path.display());
        Error::config("run", reason)
    })?;
    let rows = metrics::read(&directory.metrics())?;
    let best = WeightFile::load(&directory.weights("best"))?;
    let network = best.network(best.config.usual_mode(), &Device::flex())?;
    let tested = read_test(&recipe, &network, &best.data)?;
    let page = report::Report {
        outcome: &outcome,
        recipe: &recipe,
        config: network.config(),
        parameters: count(&network),
        rows: &rows,
        best: Best::of(&rows),
        tested: tested.as_ref().map(|(test, found)| (test, found)),
    };
    write_atomically(&directory.report(), page.to_html()?.as_bytes())?;
    write_atomically(&directory.curves(), report::curves(&rows)?.as_bytes())?;
    write_atomically(&directory.events(), &event_file(directory.began(), &rows))?;
    Ok(directory.report())
}
