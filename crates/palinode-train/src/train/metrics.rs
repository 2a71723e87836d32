//! The figures of a run, epoch by epoch: `metrics.csv`.

use crate::error::{Error, Result};
use palinode::file::write_atomically;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One line of `metrics.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// From 1.
    pub epoch: usize,
    /// `train` or `validation`.
    pub split: String,
    /// Mean cross-entropy.
    pub loss: f64,
    /// In 0…1.
    pub accuracy: f64,
    /// At the epoch's last step.
    pub learning_rate: f64,
    /// Wall time of this split in this epoch.
    pub seconds: f64,
    /// Images per second.
    pub images_per_second: f64,
    /// Peak of the live bytes so far; `None` where they are not counted.
    pub peak_bytes: Option<u64>,
}

/// Writes all rows, atomically.
///
/// # Errors
/// [`palinode::Error::Io`] naming the path.
pub fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Error::format(path, error.to_string());
    for row in rows {
        writer.serialize(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::format(path, error.to_string()))?;
    write_atomically(path, &bytes)?;
    Ok(())
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// [`palinode::Error::Io`], or [`palinode::Error::Format`] with the line that is wrong.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let text = palinode::file::read(path)?;
    let rows = csv::Reader::from_reader(text.as_slice()).into_deserialize();
    rows.collect::<std::result::Result<_, _>>()
        .map_err(|error| Error::format(path, error.to_string()))
}
