//! `palinode train`.

use crate::job::Job;
use crate::machine::Machine;
use crate::options::named;
use crate::output::say;
use crate::progress::{Display, Unseen};
use crate::signals::Signals;
use clap::Args;
use palinode::Isa;
use palinode::device::DeviceName;
use palinode::network::Variant;
use palinode_train::data::SourceName;
use palinode_train::recipe::{DEFAULTS, Override, QUICK_START, Recipe, Value, parse_override};
use palinode_train::report::loss;
use palinode_train::train::{Changes, Observer, Outcome, Place, RunDirectory, resume, train};
use std::path::{Path, PathBuf};

/// Options of `palinode train`.
#[derive(Debug, Args)]
pub struct Train {
    /// A recipe file (default without --model: the quick start).
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Model name (model.name); other settings then have the report's values unless a recipe sets them.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// report or paper (model.layout).
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,
    /// plain, regularized, inception or inception-large (model.variant).
    #[arg(long, value_name = "VARIANT", value_parser = Variant::parse)]
    variant: Option<Variant>,
    /// Data set (data.name).
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Directory of the data set (data.dir). With --resume: where the same images are now.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// MB that decoded pictures of a folder are kept in (data.memory). With --resume: from now on.
    #[arg(long, value_name = "MB")]
    data_memory: Option<u32>,
    /// Passes over the training images (training.epochs). With --resume: train on until there are as many.
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Images per batch (training.batch_size).
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// Seed of everything random (seed).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
    /// stored, checkpointed or reversible (training.mode).
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// What to compute on (training.device): cpu, or wgpu, vulkan, cuda, metal or rocm where the program was
    /// built with that feature, with a number where there are several: cuda:1. With --resume: from now on.
    #[arg(long, value_name = "DEVICE", value_parser = named::<DeviceName>)]
    device: Option<DeviceName>,
    /// Any field of the recipe, for instance optimizer.learning_rate=0.05; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Run directory (default: a new one in runs/).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue the run in DIR where it stopped, bit for bit. Of its settings, only --epochs, --data-dir,
    /// --data-memory and --device can be changed.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "recipe", "model", "layout", "variant", "data", "batch_size", "seed", "mode", "set", "out",
    ])]
    resume: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

impl Train {
    pub fn run(self, machine: Machine, signals: &Signals, job: &Job) -> anyhow::Result<()> {
        let together = job.machine(machine.threads());
        let mut observer: Box<dyn Observer> = match job.is_first() {
            true => Box::new(Display::new(self.quiet, signals)?),
            false => Box::new(Unseen::new(signals)),
        };
        let outcome = match &self.resume {
            Some(run) => self.go_on(run, (machine, together), observer.as_mut())?,
            None => {
                let recipe = self.recipe(machine)?;
                match &self.out {
                    Some(out) => train(recipe, out, together, observer.as_mut())?,
                    None => {
                        let (model, data) = (&recipe.model.name, recipe.data.name.name());
                        let name = format!("{model}-{data}-seed{}", recipe.seed);
                        let out = Place::New { parent: Path::new("runs"), name: &name };
                        train(recipe, out, together, observer.as_mut())?
                    }
                }
            }
        };
        drop(observer);
        if job.is_first() { self.print(&outcome) } else { Ok(()) }
    }

    fn go_on(
        &self,
        run: &Path,
        (machine, together): (Machine, palinode_train::train::Machine),
        observer: &mut dyn Observer,
    ) -> anyhow::Result<Outcome> {
        if let Some(isa) = machine.isa.filter(|_| together.is_first()) {
            let began = Recipe::load(&RunDirectory::open(run)?.config(), &[])?.training.isa;
            anyhow::ensure!(
                began == Some(isa),
                "--isa: the run began on {}, and its bits depend on it",
                began.map_or("another one", Isa::name)
            );
        }
        let epochs = self.epochs.map(|epochs| epochs as usize);
        let changes = Changes::default()
            .with_epochs(epochs)
            .with_data_dir(self.data_dir.clone())
            .with_memory(self.data_memory.map(u64::from))
            .with_device(self.device);
        Ok(resume(run, together, &changes, observer)?)
    }

    fn recipe(&self, machine: Machine) -> anyhow::Result<Recipe> {
        let overrides = self.overrides(machine)?;
        Ok(match (&self.recipe, &self.model) {
            (Some(path), _) => Recipe::load(path, &overrides)?,
            (None, Some(_)) => Recipe::parse(DEFAULTS, Path::new("defaults"), &overrides)?,
            (None, None) => Recipe::parse(QUICK_START, Path::new("quick-start.toml"), &overrides)?,
        })
    }

    /// Command-line options as overrides of recipe fields; --set comes last and takes precedence.
    fn overrides(&self, machine: Machine) -> anyhow::Result<Vec<Override>> {
        let number = |value: Option<u32>| value.map(|value| Value::Integer(value.into()));
        let text = |value: &Option<String>| value.clone().map(Value::String);
        let directory = match self.data_dir.as_deref().map(Path::to_str) {
            Some(None) => anyhow::bail!("--data-dir: the path is not UTF-8"),
            Some(Some(path)) => Some(Value::String(path.to_owned())),
            None => None,
        };
        if let Some(name) = &self.data {
            SourceName::parse(name)?;
        }
        let mut overrides: Vec<Override> = [
            ("model.name", text(&self.model)),
            ("model.variant", self.variant.map(|v| Value::String(v.name().to_owned()))),
            ("model.layout", text(&self.layout)),
            ("data.name", text(&self.data)),
            ("data.dir", directory),
            ("data.memory", number(self.data_memory)),
            ("training.epochs", number(self.epochs)),
            ("training.batch_size", number(self.batch_size)),
            ("seed", self.seed.map(Value::Integer)),
            ("training.mode", text(&self.mode)),
            ("training.device", self.device.map(|device| Value::String(device.to_string()))),
            ("training.isa", machine.isa.map(|isa| Value::String(isa.name().to_owned()))),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)))
        .collect();
        for setting in &self.set {
            overrides.push(parse_override(setting)?);
        }
        Ok(overrides)
    }

    fn print(&self, outcome: &Outcome) -> anyhow::Result<()> {
        if self.json {
            say!("{}", serde_json::to_string(outcome)?)?;
            return Ok(());
        }
        let directory = RunDirectory::open(&outcome.run)?;
        let Some(seconds) = outcome.seconds else {
            say!("initial weights: {}", directory.weights("init").display())?;
            return Ok(());
        };
        let result = match (outcome.test_accuracy, outcome.test_loss, outcome.validation_accuracy) {
            (Some(accuracy), Some(test_loss), _) => {
                format!("test accuracy {:.2} %, loss {}", 100.0 * accuracy, loss(test_loss))
            }
            (_, _, Some(accuracy)) => format!("validation accuracy {:.2} %", 100.0 * accuracy),
            (_, _, None) => "no validation, no test".to_owned(),
        };
        let epochs = if outcome.epochs == 1 { "epoch" } else { "epochs" };
        say!("{result}, {} {epochs} in {seconds:.0} s", outcome.epochs)?;
        say!("report: {}", directory.report().display())
    }
}
