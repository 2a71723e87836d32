//! The table of an experiment: one line per row and subset, means over seeds.

use super::plan::percent as share;
use super::run::Finished;
use crate::error::{Error, Result};
use crate::report::thousands;
use serde::Serialize;
use std::fmt::Write;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The row's name.
    pub name: String,
    /// Blocks per unit.
    pub blocks: Vec<usize>,
    /// Channels per unit.
    pub widths: Vec<usize>,
    /// Trainable parameters.
    pub parameters: usize,
    /// Share of the training images.
    pub subset: f64,
    /// Epochs, each of as many images as the whole training part has.
    pub epochs: usize,
    /// The seeds that are finished.
    pub seeds: Vec<u64>,
    /// Test accuracy of each, in 0…1; empty where the test part was not read.
    pub test: Vec<f64>,
    /// Best validation accuracy of each.
    pub validation: Vec<f64>,
    /// Mean wall time.
    pub seconds: f64,
    /// Highest peak of the live bytes.
    pub peak_bytes: u64,
}

/// The lines of finished trials, in their order.
pub fn lines(finished: &[Finished]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for Finished { trial, outcome, .. } in finished {
        let place =
            lines.iter().position(|line| (&line.name, line.subset) == (&trial.row, trial.subset));
        let place = place.unwrap_or_else(|| {
            let model = &trial.recipe.model;
            lines.push(Line {
                name: trial.row.clone(),
                blocks: model.blocks.clone().unwrap_or_default(),
                widths: model.widths.clone().unwrap_or_default(),
                parameters: outcome.parameters,
                subset: trial.subset,
                epochs: outcome.epochs,
                seeds: Vec::new(),
                test: Vec::new(),
                validation: Vec::new(),
                seconds: 0.0,
                peak_bytes: 0,
            });
            lines.len() - 1
        });
        let line = &mut lines[place];
        let before = line.seeds.len() as f64;
        line.seconds = (line.seconds * before + outcome.seconds.unwrap_or(0.0)) / (before + 1.0);
        line.peak_bytes = line.peak_bytes.max(outcome.peak_bytes.unwrap_or(0));
        line.seeds.push(trial.seed);
        line.test.extend(outcome.test_accuracy);
        line.validation.extend(outcome.validation_accuracy);
    }
    lines
}

/// Mean and, of two numbers or more, sample standard deviation.
pub(super) fn mean_and_deviation(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let count = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt())))
}

/// "93.12 ± 0.08" in per cent.
fn percent(values: &[f64]) -> String {
    match mean_and_deviation(values) {
        None => "–".to_owned(),
        Some((mean, None)) => format!("{:.2}", 100.0 * mean),
        Some((mean, Some(deviation))) => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation),
    }
}

fn dashed(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

/// Heads of the columns, in Markdown and on a page.
pub(super) const COLUMNS: [&str; 11] = [
    "model",
    "units",
    "channels",
    "parameters",
    "images",
    "epochs",
    "seeds",
    "test accuracy, %",
    "best validation, %",
    "time, s",
    "peak, MB",
];

/// What stands under [`COLUMNS`].
pub(super) fn cells(line: &Line) -> [String; COLUMNS.len()] {
    [
        line.name.clone(),
        dashed(&line.blocks),
        dashed(&line.widths),
        thousands(line.parameters),
        format!("{} %", share(line.subset)),
        line.epochs.to_string(),
        line.seeds.len().to_string(),
        percent(&line.test),
        percent(&line.validation),
        format!("{:.0}", line.seconds),
        format!("{:.0}", line.peak_bytes as f64 / 1e6),
    ]
}

/// As Markdown; `failed` are trials that are not in it, and why.
pub(super) fn as_markdown(title: &str, lines: &[Line], failed: &[String]) -> String {
    let mut text = format!(
        "# {title}\n\nMeans over seeds, ± their standard deviation. Epochs are of as many images as the \
         whole training part has, also for subsets. Test images, where they were read, were read once per \
         run, with the weights of its best validation.\n\n"
    );
    let heads = COLUMNS.map(str::to_owned);
    let rule = ["---"; COLUMNS.len()].map(str::to_owned);
    for row in [heads, rule].into_iter().chain(lines.iter().map(cells)) {
        let row = row.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    if !failed.is_empty() {
        text += "\nDid not get to their end:\n\n";
        failed.iter().for_each(|run| text += &format!("* {run}\n"));
    }
    text
}

/// One line of `table.csv`.
#[derive(Serialize)]
struct Record<'a> {
    model: &'a str,
    units: String,
    channels: String,
    parameters: usize,
    subset: f64,
    epochs: usize,
    seeds: usize,
    test_accuracy: Option<f64>,
    test_deviation: Option<f64>,
    validation_accuracy: Option<f64>,
    validation_deviation: Option<f64>,
    seconds: f64,
    peak_bytes: u64,
}

/// As CSV, accuracies in 0…1.
pub(super) fn as_csv(lines: &[Line]) -> Result<String> {
    let failed = |reason: String| Error::format("table.csv", reason);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        let (test, validation) =
            (mean_and_deviation(&line.test), mean_and_deviation(&line.validation));
        let record = Record {
            model: &line.name,
            units: dashed(&line.blocks),
            channels: dashed(&line.widths),
            parameters: line.parameters,
            subset: line.subset,
            epochs: line.epochs,
            seeds: line.seeds.len(),
            test_accuracy: test.map(|t| t.0),
            test_deviation: test.and_then(|t| t.1),
            validation_accuracy: validation.map(|v| v.0),
            validation_deviation: validation.and_then(|v| v.1),
            seconds: line.seconds,
            peak_bytes: line.peak_bytes,
        };
        writer.serialize(record).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_are_those_of_samples() {
        assert_eq!(percent(&[]), "–");
        assert_eq!(percent(&[0.5]), "50.00");
        // (0.9, 0.92, 0.94): mean 0.92, squares 2·0.02² over 2.
        assert_eq!(percent(&[0.9, 0.92, 0.94]), "92.00 ± 2.00");
    }
}
