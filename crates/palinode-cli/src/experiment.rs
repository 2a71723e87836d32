//! `palinode experiment`.

use crate::machine::Machine;
use crate::progress::Display;
use clap::Args;
use palinode_train::experiment::{Plan, run, table_rows};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Options of `palinode experiment`.
#[derive(Debug, Args)]
pub struct Experiment {
    /// Experiment file: recipes, subsets and seeds.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Directory of the results (default: the file's name in runs/). What is finished
    /// there is not run again, and what was interrupted goes on.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say what would be run, and stop.
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

impl Experiment {
    pub fn run(self, machine: Machine) -> anyhow::Result<()> {
        let mut plan = Plan::load(&self.file)?;
        if let Some(isa) = machine.isa {
            plan.set.push(format!("training.isa={isa}"));
        }
        let recipes = self.file.parent().unwrap_or(Path::new("."));
        let name = self.file.file_stem().unwrap_or_default();
        let out = self.out.unwrap_or_else(|| Path::new("runs").join(name));
        if self.dry_run {
            let trials = plan.trials(recipes)?;
            let runs = trials.iter().map(|trial| out.join("runs").join(&trial.directory));
            if self.json {
                println!("{}", json!({ "out": out, "runs": runs.collect::<Vec<_>>() }));
            } else {
                runs.for_each(|run| println!("{}", run.display()));
            }
            return Ok(());
        }
        let quiet = self.quiet;
        let finished = run(
            &plan,
            recipes,
            &out,
            machine.threads(),
            &mut Display::new(quiet)?,
            |display, (number, count), trial| {
                display.begin(&format!("run {number} of {count}: {}", trial.directory));
            },
        )?;
        if self.json {
            let rows: Vec<_> = table_rows(&finished)
                .into_iter()
                .map(|row| {
                    json!({
                        "model": row.name,
                        "parameters": row.parameters,
                        "subset": row.subset,
                        "seeds": row.seeds,
                        "test_accuracy": row.test,
                        "validation_accuracy": row.validation,
                        "seconds": row.mean_seconds(),
                        "peak_bytes": row.peak_bytes,
                    })
                })
                .collect();
            println!("{}", json!({ "out": out, "rows": rows }));
            return Ok(());
        }
        println!("table: {}", out.join("table.md").display());
        println!("page: {}", out.join("index.html").display());
        Ok(())
    }
}
