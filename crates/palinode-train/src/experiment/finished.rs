//! A trial that has been run.

use super::plan::Trial;
use crate::error::Result;
use crate::train::{Outcome, Row, RunDirectory, read_rows};

/// A trial with its result.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What was asked for.
    pub trial: Trial,
    /// The result.
    pub outcome: Outcome,
    /// Its epochs.
    pub rows: Vec<Row>,
}

impl Finished {
    /// Reads the epochs of a run that has the result `outcome`.
    ///
    /// # Errors
    /// As [`read_rows`].
    pub(super) fn read(trial: &Trial, outcome: Outcome) -> Result<Self> {
        let metrics = RunDirectory::at(&outcome.run).metrics();
        // A run of no epochs has no metrics.
        let rows = if metrics.is_file() { read_rows(&metrics)? } else { Vec::new() };
        Ok(Self { trial: trial.clone(), outcome, rows })
    }
}
