//! Pages that compare runs.

use super::run::Finished;
use super::table::{COLUMNS, Line, cells};
use crate::error::Result;
use crate::recipe::Recipe;
use crate::report::{curves, document, escape, section, thousands};
use crate::train::{Outcome, Row};
use std::fmt::Write;
use std::path::Path;

/// The page of an experiment: table, figures, and every run with a link to its own page.
pub(super) fn experiment_page(
    title: &str,
    lines: &[Line],
    finished: &[Finished],
    figures: &[(&str, &str)],
) -> String {
    let mut table = String::from("<table class=\"numbers wide\">\n<tr>");
    COLUMNS.iter().for_each(|head| table += &format!("<th>{head}</th>"));
    table += "</tr>\n";
    for line in lines {
        let [name, cells @ ..] = cells(line);
        let _ = write!(table, "<tr><th>{}</th>", escape(&name));
        cells.iter().for_each(|cell| table += &format!("<td>{cell}</td>"));
        table += "</tr>\n";
    }
    table += "</table>\n";
    let mut runs = String::from("<ul>\n");
    for Finished { trial, outcome, .. } in finished {
        let accuracy = outcome.test_accuracy.or(outcome.validation_accuracy);
        let _ = writeln!(
            runs,
            "<li><a href=\"runs/{0}/report.html\">{0}</a>: {1:.2} %</li>",
            escape(&trial.directory),
            100.0 * accuracy.unwrap_or(f64::NAN),
        );
    }
    runs += "</ul>\n";
    let mut sections = vec![section("Table", &table)];
    sections.extend(figures.iter().map(|(title, svg)| section(title, svg)));
    sections.push(section("Runs", &runs));
    document(title, &sections.concat())
}

/// One page about several runs, side by side: figures, curves, and the settings they differ in.
///
/// # Errors
/// Where a recipe cannot be written or a curve drawn.
pub fn comparison(runs: &[(&Path, &Recipe, Option<&Outcome>, &[Row])]) -> Result<String> {
    let name = |path: &Path| {
        let last = path.file_name().map(|name| name.to_string_lossy().into_owned());
        escape(&last.unwrap_or_else(|| path.display().to_string()))
    };
    let mut figures = String::from("<table class=\"numbers\">\n<tr><th></th>");
    let mut pictures = String::new();
    for &(path, _, _, rows) in runs {
        let _ = write!(figures, "<th>{}</th>", name(path));
        if !rows.is_empty() {
            let _ = write!(pictures, "<h3>{}</h3>\n{}\n", name(path), curves(rows)?);
        }
    }
    figures += "</tr>\n";
    let mut line = |title: &str, value: &dyn Fn(&Outcome) -> Option<String>| {
        let _ = write!(figures, "<tr><th>{title}</th>");
        for (_, _, outcome, _) in runs {
            let value = outcome.and_then(value);
            let _ = write!(figures, "<td>{}</td>", value.unwrap_or_else(|| "–".to_owned()));
        }
        figures += "</tr>\n";
    };
    let share = |value: Option<f64>| value.map(|value| format!("{:.2} %", 100.0 * value));
    line("Test accuracy", &|o| share(o.test_accuracy));
    line("Best validation", &|o| share(o.validation_accuracy));
    line("Parameters", &|o| Some(thousands(o.parameters)));
    line("Epochs", &|o| Some(o.epochs.to_string()));
    line("Time", &|o| o.seconds.map(|seconds| format!("{seconds:.0} s")));
    line("Images per second", &|o| o.images_per_second.map(|rate| format!("{rate:.0}")));
    line("Peak memory", &|o| o.peak_bytes.map(|bytes| format!("{:.0} MB", bytes as f64 / 1e6)));
    figures += "</table>\n";
    let sections = [
        section("Figures", &figures),
        section("Settings that differ", &differences(runs)?),
        section("Learning curves", &pictures),
    ];
    Ok(document("Runs compared", &sections.concat()))
}

/// A table of the recipes' fields that are not the same in all runs.
fn differences(runs: &[(&Path, &Recipe, Option<&Outcome>, &[Row])]) -> Result<String> {
    let recipes: Vec<Vec<(String, String)>> =
        runs.iter().map(|(_, recipe, _, _)| recipe.fields()).collect::<Result<_>>()?;
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in recipes.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut html = String::from("<table class=\"numbers\">\n");
    for name in names {
        let value = |fields: &Vec<(String, String)>| {
            fields.iter().find(|field| field.0 == *name).map_or("–".to_owned(), |f| f.1.clone())
        };
        let values: Vec<String> = recipes.iter().map(value).collect();
        if values.windows(2).any(|pair| pair[0] != pair[1]) {
            let _ = write!(html, "<tr><th>{}</th>", escape(name));
            for value in values {
                let _ = write!(html, "<td>{}</td>", escape(&value));
            }
            html += "</tr>\n";
        }
    }
    Ok(html + "</table>\n")
}
