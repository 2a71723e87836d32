//! `palinode report`.

use crate::output::{remark, say, shown};
use clap::Args;
use palinode::file::write_atomically;
use palinode_train::recipe::Recipe;
use palinode_train::report::{Compared, comparison};
use palinode_train::train::{Outcome, Rebuilt, RunDirectory, read_rows, rebuild_report};
use serde_json::json;
use std::path::PathBuf;

/// Options of `palinode report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Run directories.
    #[arg(value_name = "DIR", required = true)]
    runs: Vec<PathBuf>,
    /// Instead of each run's own page, write one that compares them, finished or not, to this file.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Report {
    pub fn run(self) -> anyhow::Result<()> {
        let pages = match &self.compare {
            Some(page) => {
                let mut runs = Vec::new();
                for path in &self.runs {
                    let directory = RunDirectory::open(path)?;
                    let recipe = Recipe::load(&directory.config(), &[])?;
                    let metrics = directory.metrics();
                    let rows = if metrics.is_file() { read_rows(&metrics)? } else { Vec::new() };
                    runs.push((path, recipe, Outcome::load(&directory)?, rows));
                }
                let runs: Vec<_> = runs
                    .iter()
                    .map(|(path, recipe, outcome, rows)| Compared {
                        path,
                        recipe,
                        outcome: outcome.as_ref(),
                        rows,
                    })
                    .collect();
                write_atomically(page, comparison(&runs)?.as_bytes())?;
                vec![page.clone()]
            }
            None => {
                let mut pages = Vec::new();
                for path in &self.runs {
                    let Rebuilt { page, untested, .. } = rebuild_report(path)?;
                    if let Some(reason) = untested {
                        let page = page.display();
                        remark(&format!("{page} has no part about the test images: {reason}"));
                    }
                    pages.push(page);
                }
                pages
            }
        };
        if self.json {
            say!(
                "{}",
                json!({ "pages": pages.iter().map(|page| shown(page)).collect::<Vec<_>>() })
            )?;
        } else {
            pages.iter().try_for_each(|page| say!("report: {}", page.display()))?;
        }
        Ok(())
    }
}
