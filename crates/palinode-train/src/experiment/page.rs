//! The page of an experiment.

use super::finished::Finished;
use super::table::{COLUMNS, EXPLANATION, TableRow, cells};
use crate::error::Result;
use crate::report::{percent, render};
use askama::Template;

#[derive(Template)]
#[template(path = "experiment.html")]
struct Page<'a> {
    title: &'a str,
    heads: [&'static str; COLUMNS.len()],
    rows: Vec<[String; COLUMNS.len()]>,
    explanation: &'static str,
    figures: &'a [String],
    runs: Vec<Run<'a>>,
    /// The trials that did not finish, and why.
    failed: &'a [String],
}

/// A line of the list of runs.
struct Run<'a> {
    directory: &'a str,
    /// A run of no epochs has no page.
    has_page: bool,
    result: String,
}

/// The page of an experiment: table, figures, and every run with a link to its own page.
///
/// # Errors
/// [`palinode::Error::Format`] where the page cannot be written.
pub(super) fn experiment_page(
    title: &str,
    rows: &[TableRow],
    finished: &[Finished],
    figures: &[String],
    failed: &[String],
) -> Result<String> {
    let page = Page {
        title,
        heads: COLUMNS,
        rows: rows.iter().map(cells).collect(),
        explanation: EXPLANATION,
        figures,
        runs: finished.iter().map(Run::of).collect(),
        failed,
    };
    render(&page, "index.html")
}

impl<'a> Run<'a> {
    fn of(Finished { trial, outcome, .. }: &'a Finished) -> Self {
        let result = match (outcome.test_accuracy, outcome.validation_accuracy) {
            (Some(test), _) => format!("test accuracy {}", percent(test)),
            (None, Some(validation)) => format!("best validation accuracy {}", percent(validation)),
            (None, None) => "neither validated nor tested".to_owned(),
        };
        Self { directory: &trial.directory, has_page: outcome.epochs > 0, result }
    }
}
