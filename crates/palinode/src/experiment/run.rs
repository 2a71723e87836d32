//! Running an experiment's trials, and writing down what came of them.

use super::figures::{against_parameters, against_subset, validation_curves};
use super::page::experiment_page;
use super::plan::{Plan, Trial};
use super::table::{as_csv, as_markdown, lines};
use crate::error::{Error, Result};
use crate::file::write_atomically;
use crate::training::{Observer, Outcome, Recipe, Row, RunDirectory, read_rows, resume, train};
use std::path::Path;

/// A trial that has been run.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was asked for.
    pub trial: Trial,
    /// What came of it.
    pub outcome: Outcome,
    /// Its epochs.
    pub rows: Vec<Row>,
}

/// Runs all trials of `plan` (its recipes in `recipes`) that are not finished in `out`, goes on with
/// one that was interrupted, and writes table, figures and page after each.
///
/// `before` is told of every trial that is run: (number from 1, all, trial).
///
/// # Errors
/// As [`train`]; [`Error::Config`] where `out` holds a run of the same name by another recipe.
pub fn run<O: Observer>(
    plan: &Plan,
    recipes: &Path,
    out: &Path,
    observer: &mut O,
    mut before: impl FnMut(&mut O, (usize, usize), &Trial),
) -> Result<Vec<Finished>> {
    let trials = plan.trials(recipes)?;
    let directory = out.join("runs");
    std::fs::create_dir_all(&directory).map_err(Error::io(&directory))?;
    // Every mistake now, not after hours.
    for trial in &trials {
        check(trial, &directory.join(&trial.directory))?;
    }
    let mut finished = Vec::new();
    let count = trials.len();
    for (number, trial) in trials.into_iter().enumerate() {
        let path = directory.join(&trial.directory);
        let run = RunDirectory::at(&path);
        if !run.result().is_file() {
            before(observer, (number + 1, count), &trial);
        }
        let outcome = match run.config().is_file() {
            true => resume(&path, observer)?,
            false => train(trial.recipe.clone(), &path, observer)?,
        };
        let rows = read_rows(&run.metrics())?;
        finished.push(Finished { trial, outcome, rows });
        write(plan, &finished, out)?;
    }
    Ok(finished)
}

/// Whether a run that is already there is one of this trial.
fn check(trial: &Trial, path: &Path) -> Result<()> {
    let config = RunDirectory::at(path).config();
    if !config.is_file() {
        return Ok(());
    }
    let mut there = Recipe::load(&config, &[])?;
    there.training.isa = trial.recipe.training.isa;
    if there == trial.recipe {
        return Ok(());
    }
    Err(Error::config(
        "out",
        format!(
            "{} was run with another recipe than `{}` has now; remove it, or name another directory",
            path.display(),
            trial.row
        ),
    ))
}

/// Table, figures and page of what is finished.
fn write(plan: &Plan, finished: &[Finished], out: &Path) -> Result<()> {
    let lines = lines(finished);
    let write = |name: &str, text: &str| write_atomically(&out.join(name), text.as_bytes());
    write("table.md", &as_markdown(&plan.title, &lines))?;
    write("table.csv", &as_csv(&lines)?)?;
    let mut figures =
        vec![("Validation accuracy during training", "curves.svg", validation_curves(finished)?)];
    if lines.iter().any(|line| line.subset < 1.0) {
        figures.push((
            "Accuracy against the share of training images",
            "subsets.svg",
            against_subset(&lines)?,
        ));
    }
    figures.push(("Accuracy against parameters", "parameters.svg", against_parameters(&lines)?));
    for (_, name, svg) in &figures {
        write(name, svg)?;
    }
    let figures: Vec<(&str, &str)> =
        figures.iter().map(|(title, _, svg)| (*title, svg.as_str())).collect();
    write("index.html", &experiment_page(&plan.title, &lines, finished, &figures))
}
