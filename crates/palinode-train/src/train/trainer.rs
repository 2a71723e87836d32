//! The trainer: a network, its data and its settings.

use super::average::Average;
use super::checkpoint::{Position, residual_name};
use super::conclude::conclude;
use super::directory::RunDirectory;
use super::observer::Observer;
use super::optimizer::NetworkOptimizer;
use super::outcome::Outcome;
use super::run::run_epochs;
use super::start::{freeze, start_from};
use super::state::Run;
use super::training_data::TrainingData;
use crate::error::{Error, Result};
use crate::recipe::Settings;
use burn::module::Module;
use palinode::file::{read, write_atomically};
use palinode::network::weights::collect;
use palinode::network::{Network, count};
use palinode::residual::Residual;
use palinode_kernels::{Context, ContextBuilder};
use std::path::Path;

/// Trains a network on some images.
///
/// * [`new`](Self::new): a network with any residual, and its [data](TrainingData)
/// * [`with_settings`](Self::with_settings): how to train it
/// * [`train`](Self::train): trains in a new run directory
/// * [`resume`](Self::resume): continues a run that was interrupted
///
/// The network is trained on the device that it is on. The run directory holds the weights
/// (`weights/best.safetensors` are those of the best validation), the figures and the report.
#[derive(Clone)]
pub struct Trainer<R: Residual> {
    network: Network<R>,
    data: TrainingData,
    settings: Settings,
    machine: ContextBuilder,
    title: Option<String>,
    config: Option<String>,
}

impl<R: Residual> Trainer<R> {
    /// A trainer with the default settings.
    pub fn new(network: Network<R>, data: TrainingData) -> Self {
        // Gradients need a device with a graph.
        let tracked = network.head.weight.val().is_autodiff();
        let network = if tracked { network } else { network.train() };
        let (settings, machine) = (Settings::default(), Context::builder());
        Self { network, data, settings, machine, title: None, config: None }
    }

    /// Sets how the network is trained.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the threads to compute with. An instruction set is named by the settings
    /// (`training.isa`); unset, it is the best one of the machine.
    #[must_use]
    pub fn with_machine(self, machine: ContextBuilder) -> Self {
        Self { machine, ..self }
    }

    /// Sets the heading of the report; by default the names of model and residual.
    #[must_use]
    pub fn with_title(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// Sets the content of `config.toml`; by default the settings.
    #[must_use]
    pub(super) fn with_config(self, config: String) -> Self {
        Self { config: Some(config), ..self }
    }

    /// Trains in the new directory `out`.
    ///
    /// # Errors
    /// Everything that can be wrong with settings, data or directory; [`Error::NonFinite`] and
    /// [`Error::Interrupted`] with the last checkpoint kept.
    pub fn train(mut self, out: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
        let context = context(self.machine, &mut self.settings)?;
        context.install(|| {
            let run = self.begin(RunDirectory::at(out), &context, observer)?;
            RunDirectory::create(out)?;
            write_atomically(&run.directory.config(), run.config.as_bytes())?;
            run.directory.prepare()?;
            run.save_weights("init", &collect(&run.network))?;
            run.save_checkpoint()?;
            finish(run, observer)
        })
    }

    /// Continues the run in `path`, bit for bit as if it had never stopped.
    ///
    /// Network, data and settings must be those that the run began with. A finished run is left as it
    /// is.
    ///
    /// # Errors
    /// As [`train`](Self::train); [`palinode::Error::Config`] where a setting or the training images differ,
    /// [`palinode::Error::Format`] where the checkpoint is of another network or of another version.
    pub fn resume(mut self, path: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
        let directory = RunDirectory::open(path)?;
        if let Some(outcome) = Outcome::load(&directory)? {
            return Ok(outcome);
        }
        if self.config.is_none() {
            let began = read_settings(&directory)?;
            self.settings.training.isa = began.training.isa;
            refuse_difference(&began, &self.settings, &directory)?;
        }
        let context = context(self.machine, &mut self.settings)?;
        context.install(|| {
            directory.prepare()?;
            let (run, found) = self.begin(directory, &context, observer)?.load_checkpoint()?;
            if found {
                let Position { epoch, step, .. } = run.position;
                let epochs = run.settings.training.epochs;
                observer.resumed((epoch + 1).min(epochs), epochs, step);
            } else {
                // Stopped before the first checkpoint: nothing is lost by starting again.
                run.save_weights("init", &collect(&run.network))?;
            }
            finish(run, observer)
        })
    }

    /// The run before its first step. Nothing is written yet.
    fn begin(
        self,
        directory: RunDirectory,
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Run<R>> {
        let Self { mut network, data, settings, title, config, .. } = self;
        settings.validate()?;
        settings.augmentation.check(data.info().size)?;
        let described = (data.info().channels, data.info().size, data.info().classes.len());
        let expected = network.config();
        let expected = (expected.channels, expected.size, expected.classes);
        if described != expected {
            let reason = format!(
                "(channels, size, classes) of the images are {described:?}, the network expects \
                 {expected:?}"
            );
            return Err(Error::config("data", reason));
        }
        let training = &settings.training;
        if let Some(mode) = training.mode {
            network = network.with_mode(mode)?;
        }
        network = network.with_context(context)?;
        let (network, start) = start_from(network, training)?;
        let network = freeze(network, &training.freeze)?;
        if let Some(start) = start {
            observer.started_from(&start);
        }
        data.remarks.iter().for_each(|remark| observer.remark(remark));
        let title = title
            .unwrap_or_else(|| format!("{} with {}", network.config().model, residual_name::<R>()));
        let config = match config {
            Some(config) => config,
            None => to_toml(&settings)?,
        };
        let optimizer = NetworkOptimizer::new(&settings.optimizer, &network)
            .with_smoothness(settings.smoothness, &network);
        let decay = settings.training.average;
        let average = (decay > 0.0).then(|| Average::new(decay));
        let position = Position { data: data.checksums, ..Position::default() };
        Ok(Run { title, config, settings, directory, data, network, optimizer, average, position })
    }
}

/// Trains to the end.
fn finish<R: Residual>(run: Run<R>, observer: &mut dyn Observer) -> Result<Outcome> {
    if run.settings.training.epochs == 0 {
        let (parameters, remarks) = (count(&run.network).total, run.data.remarks);
        return Ok(Outcome::untrained(run.directory.path(), parameters, remarks));
    }
    let run = run_epochs(run, observer)?;
    conclude(&run, observer)
}

/// The context that settings and machine ask for. The settings then name its instruction set.
pub(super) fn context(machine: ContextBuilder, settings: &mut Settings) -> Result<Context> {
    let training = &mut settings.training;
    let context = training.context(machine)?;
    training.isa = Some(context.isa().for_gradients(training.gradients));
    Ok(context)
}

/// Settings as the `config.toml` of a run that no recipe describes.
fn to_toml(settings: &Settings) -> Result<String> {
    let toml = toml::to_string_pretty(settings)
        .map_err(|error| Error::config("settings", error.to_string()))?;
    Ok(format!("# The network and its images come from code, not from a recipe.\n{toml}"))
}

fn read_settings(directory: &RunDirectory) -> Result<Settings> {
    let path = directory.config();
    let text = String::from_utf8_lossy(&read(&path)?).into_owned();
    toml::from_str(&text).map_err(|error| Error::format(&path, error.to_string()))
}

/// Refuses to continue with settings that differ from those that the run began with.
fn refuse_difference(began: &Settings, now: &Settings, directory: &RunDirectory) -> Result<()> {
    if began == now {
        return Ok(());
    }
    let (began, now) = (to_toml(began)?, to_toml(now)?);
    let lines = began.lines().zip(now.lines());
    let difference = lines.filter(|(a, b)| a != b).map(|(a, b)| format!("`{a}`, now `{b}`")).next();
    Err(Error::config(
        "settings",
        format!(
            "{} began with {}",
            directory.path().display(),
            difference.unwrap_or_else(|| "other settings".to_owned())
        ),
    ))
}
