//! The table of an experiment as CSV.

use super::table::{TableRow, dashed, mean_and_deviation};
use crate::error::{Error, Result};
use palinode::wording::plain;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One line of `table.csv`; accuracies and deviations are in 0…1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The name in the plan.
    pub model: String,
    /// Blocks of each unit, as `6-6-6`.
    pub units: Option<String>,
    /// Channels of each unit.
    pub channels: Option<String>,
    /// Trainable parameters.
    pub parameters: usize,
    /// Share of the training images.
    pub subset: f64,
    /// Epochs.
    pub epochs: usize,
    /// Number of seeds.
    pub seeds: usize,
    /// Mean test accuracy; none where the test split was not read.
    pub test_accuracy: Option<f64>,
    /// Its standard deviation over seeds, of two seeds or more.
    pub test_deviation: Option<f64>,
    /// Mean of the best validation accuracy; none where nothing was held out.
    pub validation_accuracy: Option<f64>,
    /// Its standard deviation over seeds, of two seeds or more.
    pub validation_deviation: Option<f64>,
    /// Mean wall time; none where no epoch was run.
    pub seconds: Option<f64>,
    /// Highest peak of the live bytes.
    pub peak_bytes: Option<u64>,
}

impl From<&TableRow> for TableRecord {
    fn from(row: &TableRow) -> Self {
        let test = mean_and_deviation(&row.test);
        let validation = mean_and_deviation(&row.validation);
        Self {
            model: row.name.clone(),
            units: row.blocks.as_deref().map(dashed),
            channels: row.widths.as_deref().map(dashed),
            parameters: row.parameters,
            subset: row.subset,
            epochs: row.epochs,
            seeds: row.seeds.len(),
            test_accuracy: test.map(|(mean, _)| mean),
            test_deviation: test.and_then(|(_, deviation)| deviation),
            validation_accuracy: validation.map(|(mean, _)| mean),
            validation_deviation: validation.and_then(|(_, deviation)| deviation),
            seconds: row.mean_seconds(),
            peak_bytes: row.peak_bytes,
        }
    }
}

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// A name that a spreadsheet shows and does not compute, on one line: an apostrophe stands before what it would
/// take for a formula, and control characters are written out.
fn no_formula(name: &str) -> String {
    let name = plain(name);
    match is_formula(&name) {
        true => format!("'{name}"),
        false => name,
    }
}

/// The name that [`no_formula`] was given.
fn given(name: &str) -> &str {
    name.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(name)
}

/// Whether a name begins like a formula, behind any apostrophes.
fn is_formula(name: &str) -> bool {
    name.trim_start_matches('\'').starts_with(FORMULA)
}

/// The text of `table.csv`.
pub(super) fn as_csv(records: &[TableRecord]) -> Result<String> {
    let failed = |reason: String| Error::format("table.csv", reason);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        let record = TableRecord { model: no_formula(&record.model), ..record.clone() };
        writer.serialize(record).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

/// Reads a `table.csv`.
///
/// # Errors
/// [`palinode::Error::Io`], or [`palinode::Error::Format`] with the line that is wrong.
pub fn read_table(path: &Path) -> Result<Vec<TableRecord>> {
    let text = palinode::file::read(path)?;
    let records = csv::Reader::from_reader(text.as_slice()).into_deserialize();
    let mut records: Vec<TableRecord> = records
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| Error::format(path, error.to_string()))?;
    for record in &mut records {
        record.model = given(&record.model).to_owned();
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let row = TableRow {
            name: "a, \"b\"".to_owned(),
            blocks: Some(vec![6, 6, 6]),
            widths: None,
            parameters: 482_986,
            subset: 0.05,
            epochs: 6,
            seeds: vec![0, 1],
            test: Vec::new(),
            validation: vec![0.9, 0.92],
            seconds: vec![10.0, 20.0],
            peak_bytes: None,
        };
        let record = TableRecord::from(&row);
        assert_eq!((record.seconds, record.units.as_deref()), (Some(15.0), Some("6-6-6")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, as_csv(std::slice::from_ref(&record)).unwrap()).unwrap();
        assert_eq!(read_table(&path).unwrap(), std::slice::from_ref(&record));
        let odd = ["=HYPERLINK(1)", "+1", "'plain", "'=", "''-", "\tx"];
        let records = odd.map(|name| TableRecord { model: name.to_owned(), ..record.clone() });
        let text = as_csv(&records).unwrap();
        assert!(text.contains("\n'=HYPERLINK(1),") && text.contains("\n'+1,"), "{text}");
        std::fs::write(&path, text).unwrap();
        let found = read_table(&path).unwrap();
        assert_eq!(found[..5], records[..5]);
        assert_eq!(found[5].model, "\\tx", "control characters are written out");
        std::fs::write(&path, "model,units\na,b\n").unwrap();
        assert!(read_table(&path).unwrap_err().to_string().contains("table.csv"));
    }
}
