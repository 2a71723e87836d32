//! Running an experiment's trials, and writing down what came of them.

use super::figures::{Measure, against_parameters, against_subset, curves};
use super::page::experiment_page;
use super::plan::{Plan, Trial};
use super::table::{as_csv, as_markdown, lines};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::recipe::{DataRecipe, Recipe};
use crate::train::{Observer, Outcome, Row, RunDirectory, read_rows, resume, train};
use palinode::file::write_atomically;
use palinode_kernels::ContextBuilder;
use std::collections::BTreeMap;
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
/// A trial whose loss becomes NaN or infinite is written down as such and the others go on.
/// `before` is told of every trial that is run: (number from 1, all, trial).
///
/// # Errors
/// As [`train`]; [`Error::Config`] where `out` holds a run of the same name by another recipe;
/// [`Error::NonFinite`] at the end, where there were such trials.
pub fn run<O: Observer>(
    plan: &Plan,
    recipes: &Path,
    out: &Path,
    machine: ContextBuilder,
    observer: &mut O,
    mut before: impl FnMut(&mut O, (usize, usize), &Trial),
) -> Result<Vec<Finished>> {
    let trials = plan.trials(recipes)?;
    let directory = out.join("runs");
    std::fs::create_dir_all(&directory).map_err(Error::io(&directory))?;
    let mut results = Results { plan, out, finished: BTreeMap::new(), failed: Vec::new() };
    for (number, trial) in trials.iter().enumerate() {
        let path = directory.join(&trial.directory);
        check(trial, &path)?;
        if let Some(outcome) = Outcome::load(&RunDirectory::at(&path))? {
            results.finished.insert(number, Finished::read(trial, outcome)?);
        }
    }
    let missing: Vec<usize> =
        (0..trials.len()).filter(|number| !results.finished.contains_key(number)).collect();
    // Every mistake now, not after hours.
    check_data(missing.iter().map(|&number| &trials[number]))?;
    results.write()?;
    for number in missing {
        let trial = &trials[number];
        before(observer, (number + 1, trials.len()), trial);
        let path = directory.join(&trial.directory);
        let ran = match RunDirectory::at(&path).config().is_file() {
            true => resume(&path, machine, observer),
            false => train(trial.recipe.clone(), &path, machine, observer),
        };
        match ran {
            Ok(outcome) => {
                results.finished.insert(number, Finished::read(trial, outcome)?);
            }
            Err(error @ Error::NonFinite { .. }) => {
                results.failed.push(format!("{}: {error}", trial.directory));
            }
            Err(error) => return Err(error),
        }
        results.write()?;
    }
    match results.failed.is_empty() {
        true => Ok(results.finished.into_values().collect()),
        false => Err(Error::NonFinite { what: "a loss", place: results.failed.join("; ") }),
    }
}

impl Finished {
    fn read(trial: &Trial, outcome: Outcome) -> Result<Self> {
        let metrics = RunDirectory::at(&outcome.run).metrics();
        // A run of no epochs has none.
        let rows = if metrics.is_file() { read_rows(&metrics)? } else { Vec::new() };
        Ok(Self { trial: trial.clone(), outcome, rows })
    }
}

/// Whether the images of all trials can be read and suit their networks.
fn check_data<'a>(trials: impl Iterator<Item = &'a Trial>) -> Result<()> {
    /// Channels, size and classes.
    type Kind = (usize, [usize; 2], usize);
    let mut known: Vec<(DataRecipe, Kind)> = Vec::new();
    for trial in trials {
        let data = DataRecipe { subset: 1.0, ..trial.recipe.data.clone() };
        let kind = match known.iter().find(|(of, _)| *of == data) {
            Some((_, kind)) => *kind,
            None => {
                data.load(Split::Test)?;
                let images = data.load(Split::Train)?;
                let kind = (images.channels, images.size, images.classes.len());
                known.push((data, kind));
                kind
            }
        };
        trial.recipe.network(kind.0, kind.1, kind.2)?;
    }
    Ok(())
}

/// Whether a run that is already there is one of this trial.
fn check(trial: &Trial, path: &Path) -> Result<()> {
    let config = RunDirectory::at(path).config();
    if !config.is_file() {
        return Ok(());
    }
    // Resolved, for a field that is younger than the run.
    let mut there = Recipe::load(&config, &[])?.resolved()?;
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

/// What there is of an experiment.
struct Results<'a> {
    plan: &'a Plan,
    out: &'a Path,
    /// By the trials' numbers.
    finished: BTreeMap<usize, Finished>,
    /// Trials that did not get to their end, and why.
    failed: Vec<String>,
}

impl Results<'_> {
    /// Writes table, figures and page.
    fn write(&self) -> Result<()> {
        let Self { plan, out, finished, failed } = self;
        let finished: Vec<Finished> = finished.values().cloned().collect();
        let lines = lines(&finished);
        let write = |name: &str, text: &str| write_atomically(&out.join(name), text.as_bytes());
        write("table.md", &as_markdown(&plan.title, &lines, failed))?;
        write("table.csv", &as_csv(&lines)?)?;
        let mut figures = vec![
            ("Validation accuracy", "accuracy.svg", curves(&finished, Measure::Accuracy)?),
            ("Training loss", "loss.svg", curves(&finished, Measure::Loss)?),
        ];
        if lines.iter().any(|line| line.subset < 1.0) {
            let title = "Accuracy against the share of training images";
            figures.push((title, "subsets.svg", against_subset(&lines)?));
        }
        let title = "Accuracy against parameters";
        figures.push((title, "parameters.svg", against_parameters(&lines)?));
        for (_, name, svg) in &figures {
            write(name, svg)?;
        }
        let figures: Vec<(&str, &str)> =
            figures.iter().map(|(title, _, svg)| (*title, svg.as_str())).collect();
        write("index.html", &experiment_page(&plan.title, &lines, &finished, &figures))?;
        Ok(())
    }
}
