//! One page about several runs.

use super::curves::overlaid;
use super::html::render;
use super::numbers::{duration, megabytes, or_dash, percent, thousands};
use crate::error::Result;
use crate::recipe::Recipe;
use crate::train::{Outcome, Row};
use askama::Template;
use std::path::Path;

/// A run to compare, finished or not.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// Its directory.
    pub path: &'a Path,
    /// The resolved recipe.
    pub recipe: &'a Recipe,
    /// Its result, where it is finished.
    pub outcome: Option<&'a Outcome>,
    /// Its epochs so far.
    pub rows: &'a [Row],
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page {
    title: String,
    /// An empty corner, then the names of the runs.
    heads: Vec<String>,
    results: Vec<Vec<String>>,
    settings: Vec<Vec<String>>,
    charts: Vec<String>,
}

/// One page about several runs: their results, the settings in which they differ, and their curves in
/// common charts.
///
/// # Errors
/// Where a recipe cannot be written or a curve drawn.
pub fn comparison(runs: &[Compared<'_>]) -> Result<String> {
    let names = names(runs);
    let with_rows: Vec<(&str, &[Row])> =
        names.iter().map(String::as_str).zip(runs.iter().map(|run| run.rows)).collect();
    let page = Page {
        title: "Runs compared".to_owned(),
        heads: std::iter::once(String::new()).chain(names.iter().cloned()).collect(),
        results: results(runs),
        settings: differences(runs)?,
        charts: overlaid(&with_rows)?,
    };
    render(&page, "comparison")
}

/// The directories' names; the whole paths of those that share one.
fn names(runs: &[Compared<'_>]) -> Vec<String> {
    let short = |run: &Compared<'_>| {
        let last = run.path.file_name().map(|name| name.to_string_lossy().into_owned());
        last.unwrap_or_else(|| run.path.display().to_string())
    };
    let all: Vec<String> = runs.iter().map(short).collect();
    let unique = |name: &String| all.iter().filter(|other| *other == name).count() == 1;
    let pairs = all.iter().zip(runs);
    pairs
        .map(|(name, run)| match unique(name) {
            true => name.clone(),
            false => run.path.display().to_string(),
        })
        .collect()
}

fn results(runs: &[Compared<'_>]) -> Vec<Vec<String>> {
    let row = |title: &str, value: fn(&Outcome) -> Option<String>| {
        let values = runs.iter().map(|run| or_dash(run.outcome.and_then(value), |text| text));
        std::iter::once(title.to_owned()).chain(values).collect()
    };
    vec![
        row("Test accuracy", |outcome| outcome.test_accuracy.map(percent)),
        row("Best validation", |outcome| outcome.validation_accuracy.map(percent)),
        row("Parameters", |outcome| Some(thousands(outcome.parameters))),
        row("Epochs", |outcome| Some(outcome.epochs.to_string())),
        row("Time", |outcome| outcome.seconds.map(duration)),
        row("Images per second", |outcome| {
            outcome.images_per_second.map(|rate| format!("{rate:.0}"))
        }),
        row("Peak memory", |outcome| outcome.peak_bytes.map(megabytes)),
    ]
}

/// The recipes' fields that are not the same in all runs, and their values.
fn differences(runs: &[Compared<'_>]) -> Result<Vec<Vec<String>>> {
    let recipes: Vec<Vec<(String, String)>> =
        runs.iter().map(|run| run.recipe.fields()).collect::<Result<_>>()?;
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in recipes.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut rows = Vec::new();
    for name in names {
        let value = |fields: &Vec<(String, String)>| {
            let field = fields.iter().find(|(field, _)| field == name);
            or_dash(field, |(_, value)| value.clone())
        };
        let values: Vec<String> = recipes.iter().map(value).collect();
        if values.windows(2).any(|pair| pair[0] != pair[1]) {
            rows.push(std::iter::once(name.clone()).chain(values).collect());
        }
    }
    Ok(rows)
}
