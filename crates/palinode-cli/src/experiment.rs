//! `palinode experiment`.

use crate::job::Job;
use crate::machine::Machine;
use crate::options::OnDevice;
use crate::output::{say, shown};
use crate::progress::{Display, Unseen};
use crate::signals::Signals;
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
    #[command(flatten)]
    device: OnDevice,
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
    pub fn run(self, machine: Machine, signals: &Signals, job: &Job) -> anyhow::Result<()> {
        let mut plan = Plan::load(&self.file)?;
        if let Some(isa) = machine.isa {
            // After everything that the file says.
            plan.rows.iter_mut().for_each(|row| row.set.push(format!("training.isa={isa}")));
        }
        if let Some(device) = self.device.name {
            plan.rows
                .iter_mut()
                .for_each(|row| row.set.push(format!("training.device=\"{device}\"")));
        }
        let recipes = self.file.parent().unwrap_or(Path::new("."));
        let name = self.file.file_stem().unwrap_or_default();
        let out = self.out.unwrap_or_else(|| Path::new("runs").join(name));
        if self.dry_run {
            if !job.is_first() {
                return Ok(());
            }
            let trials = plan.trials(recipes)?;
            let runs = trials.iter().map(|trial| shown(&out.join("runs").join(&trial.directory)));
            if self.json {
                return say!("{}", json!({ "out": shown(&out), "runs": runs.collect::<Vec<_>>() }));
            }
            return runs.into_iter().try_for_each(|run| say!("{run}"));
        }
        let together = job.machine(machine.threads());
        let finished = match job.is_first() {
            true => {
                let mut display = Display::new(self.quiet, signals)?;
                run(&plan, recipes, &out, together, &mut display, |display, place, trial| {
                    let (number, count) = place;
                    display.begin(&format!("run {number} of {count}: {}", trial.directory));
                })?
            }
            false => {
                let mut unseen = Unseen::new(signals);
                run(&plan, recipes, &out, together, &mut unseen, |unseen, _, trial| {
                    unseen.begin(&trial.directory);
                })?;
                return Ok(());
            }
        };
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
            return say!("{}", json!({ "out": shown(&out), "rows": rows }));
        }
        say!("table: {}", out.join("table.md").display())?;
        say!("page: {}", out.join("index.html").display())?;
        Ok(())
    }
}
