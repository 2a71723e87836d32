//! The results of an experiment so far, and the files that show them.

use super::figures::{Measure, by_parameters, by_subset, over_epochs};
use super::finished::Finished;
use super::page::experiment_page;
use super::plan::{Plan, Trial};
use super::record::{TableRecord, as_csv};
use super::table::{as_markdown, table_rows};
use crate::error::Result;
use crate::train::{Outcome, RunDirectory};
use palinode::file::write_atomically;
use std::collections::BTreeMap;
use std::path::Path;

/// The results of an experiment so far.
pub(super) struct Results<'a> {
    pub plan: &'a Plan,
    pub out: &'a Path,
    /// By the trials' numbers.
    pub finished: BTreeMap<usize, Finished>,
    /// Trials that did not finish, and why.
    pub failed: Vec<String>,
}

impl Results<'_> {
    /// Reads the trials that other ranks have run.
    pub fn read_others(&mut self, trials: &[Trial], directory: &Path) -> Result<()> {
        for (number, trial) in trials.iter().enumerate() {
            if self.finished.contains_key(&number) {
                continue;
            }
            let run = RunDirectory::at(&directory.join(&trial.directory));
            if let Some(outcome) = Outcome::load(&run)? {
                self.finished.insert(number, Finished::read(trial, outcome)?);
            }
        }
        Ok(())
    }

    /// Writes table, figures and page.
    pub fn write(&self) -> Result<()> {
        let Self { plan, out, finished, failed } = self;
        let finished: Vec<Finished> = finished.values().cloned().collect();
        let rows = table_rows(&finished);
        let records: Vec<TableRecord> = rows.iter().map(TableRecord::from).collect();
        let write = |name: &str, text: &str| write_atomically(&out.join(name), text.as_bytes());
        write("table.md", &as_markdown(&plan.title, &rows, failed))?;
        write("table.csv", &as_csv(&records)?)?;
        let mut figures = vec![
            ("accuracy.svg", over_epochs(&finished, Measure::ValidationAccuracy)),
            ("loss.svg", over_epochs(&finished, Measure::TrainingLoss)),
        ];
        if records.iter().any(|record| record.subset < 1.0) {
            figures.push(("subsets.svg", by_subset(&records)));
        }
        figures.push(("parameters.svg", by_parameters(&records)));
        for (name, figure) in &figures {
            write(name, &figure.to_svg()?)?;
        }
        let on_page = figures.iter().flat_map(|(_, figure)| figure.for_page());
        let figures = on_page.map(|figure| figure.to_svg()).collect::<Result<Vec<_>>>()?;
        write("index.html", &experiment_page(&plan.title, &rows, &finished, &figures, failed)?)?;
        Ok(())
    }
}
