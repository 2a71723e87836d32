//! The table of an experiment: one row per plan row and subset, with means over the seeds.

use super::finished::Finished;
use super::plan::percent as share;
use crate::report::thousands;
use std::fmt::Write;

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// The name in the plan.
    pub name: String,
    /// Blocks of each unit.
    pub blocks: Option<Vec<usize>>,
    /// Channels of each unit.
    pub widths: Option<Vec<usize>>,
    /// Trainable parameters.
    pub parameters: usize,
    /// Share of the training images.
    pub subset: f64,
    /// Epochs. An epoch has as many images as the whole training split, also on a subset.
    pub epochs: usize,
    /// The seeds that are finished.
    pub seeds: Vec<u64>,
    /// Test accuracy of each, in 0…1; empty where the test split was not read.
    pub test: Vec<f64>,
    /// Best validation accuracy of each, in 0…1.
    pub validation: Vec<f64>,
    /// Wall time of each; empty where no epoch was run.
    pub seconds: Vec<f64>,
    /// Highest peak of the live bytes.
    pub peak_bytes: Option<u64>,
}

impl TableRow {
    fn new(Finished { trial, outcome, .. }: &Finished) -> Self {
        let model = &trial.recipe.model;
        Self {
            name: trial.row.clone(),
            blocks: model.blocks.clone(),
            widths: model.widths.clone(),
            parameters: outcome.parameters,
            subset: trial.subset,
            epochs: outcome.epochs,
            seeds: Vec::new(),
            test: Vec::new(),
            validation: Vec::new(),
            seconds: Vec::new(),
            peak_bytes: None,
        }
    }

    fn add(&mut self, Finished { trial, outcome, .. }: &Finished) {
        self.seeds.push(trial.seed);
        self.test.extend(outcome.test_accuracy);
        self.validation.extend(outcome.validation_accuracy);
        self.seconds.extend(outcome.seconds);
        self.peak_bytes = self.peak_bytes.max(outcome.peak_bytes);
    }

    /// Mean wall time; `None` where no epoch was run.
    pub fn mean_seconds(&self) -> Option<f64> {
        mean_and_deviation(&self.seconds).map(|(mean, _)| mean)
    }
}

/// The table of finished trials, in their order.
pub fn table_rows(finished: &[Finished]) -> Vec<TableRow> {
    let mut rows: Vec<TableRow> = Vec::new();
    for run in finished {
        let key = (&run.trial.row, run.trial.subset);
        let place = rows.iter().position(|row| (&row.name, row.subset) == key);
        let place = place.unwrap_or_else(|| {
            rows.push(TableRow::new(run));
            rows.len() - 1
        });
        rows[place].add(run);
    }
    rows
}

/// The mean, and of two numbers or more the sample standard deviation.
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

/// "6-6-6".
pub(super) fn dashed(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
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
pub(super) fn cells(row: &TableRow) -> [String; COLUMNS.len()] {
    let missing = || "–".to_owned();
    [
        row.name.clone(),
        row.blocks.as_deref().map_or_else(missing, dashed),
        row.widths.as_deref().map_or_else(missing, dashed),
        thousands(row.parameters),
        format!("{} %", share(row.subset)),
        row.epochs.to_string(),
        row.seeds.len().to_string(),
        percent(&row.test),
        percent(&row.validation),
        row.mean_seconds().map_or_else(missing, |seconds| format!("{seconds:.0}")),
        row.peak_bytes.map_or_else(missing, |bytes| format!("{:.0}", bytes as f64 / 1e6)),
    ]
}

/// What the numbers of the table are.
pub(super) const EXPLANATION: &str = "Means over seeds, ± their standard deviation. An epoch has as \
     many images as the whole training split, also on a subset. The test split, where it was read, was \
     read once per run, with the weights of the best validation.";

/// Text that stays on one line of Markdown, in one cell of a table, and is no HTML.
fn markdown(text: &str) -> String {
    let escape = |c: char| match c {
        '|' | '\\' | '`' | '<' => format!("\\{c}"),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// The table as Markdown. `failed` lists the trials that did not finish, and why.
pub(super) fn as_markdown(title: &str, rows: &[TableRow], failed: &[String]) -> String {
    let mut text = format!("# {}\n\n{EXPLANATION}\n\n", markdown(title));
    let heads = COLUMNS.map(str::to_owned);
    let rule = ["---"; COLUMNS.len()].map(str::to_owned);
    for row in [heads, rule].into_iter().chain(rows.iter().map(cells)) {
        let row = row.map(|cell| markdown(&cell));
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    if !failed.is_empty() {
        text += "\nThese runs did not finish:\n\n";
        failed.iter().for_each(|run| text += &format!("* {}\n", markdown(run)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_cells() {
        let odd = "a|b\n<script>`x`\\";
        assert_eq!(markdown(odd), "a\\|b \\<script>\\`x\\`\\\\");
        let text = as_markdown("two\nlines", &[], &[odd.to_owned()]);
        assert!(text.starts_with("# two lines\n\n") && text.lines().count() == 10, "{text}");
    }

    #[test]
    fn deviations_are_those_of_samples() {
        assert_eq!(percent(&[]), "–");
        assert_eq!(percent(&[0.5]), "50.00");
        // (0.9, 0.92, 0.94): mean 0.92, squares 2·0.02² over 2.
        assert_eq!(percent(&[0.9, 0.92, 0.94]), "92.00 ± 2.00");
    }
}
