//! The trainer: a network, its data and its settings.

use super::average::Average;
use super::conclude::conclude;
use super::described::Described;
use super::directory::{Place, RunDirectory};
use super::events::EventLog;
use super::identity::Identity;
use super::machine::Machine;
use super::observer::Observer;
use super::on_device::{describe, device_of, moved};
use super::optimizer::NetworkOptimizer;
use super::outcome::Outcome;
use super::position::Position;
use super::ranks::check_ranks;
use super::resumed::Resumed;
use super::reversal::{fractions, with_states};
use super::run::run_epochs;
use super::start::{freeze, start_from};
use super::state::Run;
use super::training_data::TrainingData;
use crate::error::{Error, Result};
use crate::recipe::{Settings, TrainingRecipe};
use burn::module::Module;
use burn::tensor::Device;
use palinode::NormStatistics;
use palinode::device::{check_available, is_cpu};
use palinode::network::weights::{Names, collect};
use palinode::network::{Network, count};
use palinode::residual::{Residual, residual_name};
use palinode_kernels::Context;
use std::collections::BTreeSet;
use std::path::Path;

/// Trains a network on some images.
///
/// * [`new`](Self::new): a network with any residual, and its [data](TrainingData)
/// * [`with_settings`](Self::with_settings): how to train it
/// * [`train`](Self::train): trains in a new run directory
/// * [`resume`](Self::resume): continues a run that was interrupted
/// * [`extend`](Self::extend): trains a run for more epochs
///
/// The network is trained on the device that it is on, or on the one that the settings name. The run directory holds the weights
/// (`weights/best.safetensors` are those of the best validation), the figures and the report.
#[derive(Clone)]
pub struct Trainer<R: Residual> {
    network: Network<R>,
    data: TrainingData,
    settings: Settings,
    machine: Machine,
    title: Option<String>,
    recipe: Option<Described>,
}

impl<R: Residual> Trainer<R> {
    /// A trainer with the default settings.
    pub fn new(network: Network<R>, data: TrainingData) -> Self {
        // Gradients need a device with a graph.
        let tracked = network.head.weight.val().is_autodiff();
        let network = if tracked { network } else { network.train() };
        let (settings, machine) = (Settings::default(), Machine::default());
        Self { network, data, settings, machine, title: None, recipe: None }
    }

    /// Sets how the network is trained.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the threads to compute with (a [`ContextBuilder`](palinode::ContextBuilder)), and the ranks that share the
    /// batches. An instruction set is named by the settings (`training.isa`); unset, it is the best one of the machine.
    #[must_use]
    pub fn with_machine(self, machine: impl Into<Machine>) -> Self {
        Self { machine: machine.into(), ..self }
    }

    /// Sets the heading of the report; by default the names of model and residual.
    #[must_use]
    pub fn with_title(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// Sets what `config.toml` holds; by default the settings.
    #[must_use]
    pub(super) fn with_recipe(self, recipe: Described) -> Self {
        Self { recipe: Some(recipe), ..self }
    }

    /// Trains in the new directory `out`: a path, or a [`Place::New`].
    ///
    /// # Errors
    /// Everything that can be wrong with settings, data or directory; [`Error::NonFinite`] and
    /// [`Error::Interrupted`] with the last checkpoint kept.
    pub fn train<'a>(
        mut self,
        out: impl Into<Place<'a>>,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let out = out.into();
        if self.machine.is_first() {
            out.check_free()?;
        }
        let context = self.machine.context(&mut self.settings)?;
        context.install(|| {
            let mut run = self.begin(RunDirectory::at(out.path()), &context, true, observer)?;
            observer.begins();
            if run.machine.is_first() {
                let (directory, lock, remark) = RunDirectory::create(out)?;
                remark.iter().for_each(|remark| observer.remark(remark));
                run.events = EventLog::open(directory.path())?;
                (run.directory, run.lock) = (directory, Some(lock));
            }
            run.update_config()?;
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
    /// As [`train`](Self::train); [`palinode::Error::Config`] where a setting or the images differ, or where
    /// another process trains the run; [`palinode::Error::Format`] where the last two checkpoints are
    /// damaged or of another version.
    pub fn resume(self, path: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
        let (resumed, _) = Resumed::open(path, &self.machine)?;
        self.go_on(resumed, false, observer)
    }

    /// Trains the run in `path` until it has as many epochs as the settings say, which may be more than it
    /// began with. All other settings, network and data must be those that it began with.
    ///
    /// # Errors
    /// As [`resume`](Self::resume); [`palinode::Error::Config`] where the schedule depends on the number of
    /// epochs, or where more epochs are finished already.
    pub fn extend(self, path: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
        let (resumed, _) = Resumed::open(path, &self.machine)?;
        self.go_on(resumed, true, observer)
    }

    /// [`extend`](Self::extend) if `extend` says so, otherwise [`resume`](Self::resume).
    pub(super) fn go_on(
        mut self,
        mut resumed: Resumed,
        extend: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        if self.settings.training.isa.is_none() {
            self.settings.training.isa = resumed.isa()?;
        }
        let settings = self.settings.clone();
        let fields = match &self.recipe {
            Some(recipe) => recipe.fields.clone(),
            None => Described::of(&settings)?.fields,
        };
        if let Some(outcome) = resumed.check(&fields, &settings, extend)? {
            return Ok(outcome);
        }
        let context = self.machine.context(&mut self.settings)?;
        context.install(|| {
            resumed.say(observer);
            let Resumed { directory, lock, found, finished, .. } = resumed;
            if self.machine.is_first() {
                directory.prepare()?;
            }
            let mut run = self.begin(directory, &context, found.is_none(), observer)?;
            run.lock = lock;
            observer.begins();
            let Some(found) = found else {
                // Stopped before the first checkpoint: nothing is lost by starting again.
                run.update_config()?;
                run.save_weights("init", &collect(&run.network))?;
                run.save_checkpoint()?;
                return finish(run, observer);
            };
            let epochs = settings.training.epochs;
            let changed = found.checkpoint.identity.epochs != epochs;
            let behind = found.checkpoint.path() != run.directory.checkpoint();
            run = run.restored(found.checkpoint)?;
            let remark = run.recover_best(behind)?;
            let [lost] = run.machine.any([remark.is_some()]);
            if lost {
                (run.position.best, run.position.best_file) = (None, None);
            }
            if let Some(remark) = remark {
                observer.remark(&remark);
                run.data.remarks.push(remark);
            }
            if found.damage.is_some() && run.machine.is_first() {
                let (latest, aside) =
                    (run.directory.checkpoint(), run.directory.damaged_checkpoint());
                std::fs::rename(&latest, aside).map_err(Error::io(&latest))?;
            }
            if let Some(finished) = finished.filter(|finished| finished.test_accuracy.is_some())
                && !run.position.tested_after.contains(&finished.epochs)
            {
                run.position.tested_after.push(finished.epochs);
            }
            // Killed between any two of these, the run is extended by the same command again.
            run.update_config()?;
            if changed {
                run.save_checkpoint()?;
            }
            run.remove_result()?;
            let Position { epoch, step, .. } = run.position;
            if epoch < epochs {
                observer.resumed(epoch + 1, epochs, step);
            }
            run.add_events()?;
            finish(run, observer)
        })
    }

    /// The run before its first step. Nothing is written yet. A run that is not `fresh` has its weights in a
    /// checkpoint.
    fn begin(
        self,
        directory: RunDirectory,
        context: &Context,
        fresh: bool,
        observer: &mut dyn Observer,
    ) -> Result<Run<R>> {
        let Self { mut network, data, settings, machine, title, recipe } = self;
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
        let device = device_of(&network, training)?;
        network = moved(network, training, &device)?;
        if let Some(modes) = &training.mode {
            network = network.with_modes(modes)?;
        }
        let modes = network.modes();
        let images = machine.images(training.batch_size.min(data.training.len()));
        let parts = network.config().step_bytes(count(&network).total, &modes, images)?;
        // The weights are there already.
        check_available(&device, &settings.optimizer.with_state(parts)[1..])?;
        network = network.with_context(context)?;
        check_norms(&network, training, &device)?;
        if fresh {
            let (started, start) = start_from(network, training, &data.info().classes)?;
            network = started;
            if let Some(start) = start {
                observer.started_from(&start);
            }
        }
        if fresh {
            network = with_states(network, training, &data, &device, observer)?;
        }
        describe(&network, &device, observer)?;
        let network = freeze(network, &training.freeze)?;
        data.remarks.iter().for_each(|remark| observer.remark(remark));
        let title = title
            .unwrap_or_else(|| format!("{} with {}", network.config().model, residual_name::<R>()));
        let Described { config, fields } = match recipe {
            Some(recipe) => recipe,
            None => Described::of(&settings)?,
        };
        let optimizer = NetworkOptimizer::new(&settings.optimizer, &network)
            .with_smoothness(settings.smoothness, &network);
        let decay = settings.training.average;
        let average = (decay > 0.0).then(|| Average::new(decay));
        let grids = fractions(&network.grids());
        let position = Position { data: data.checksums, grids, ..Position::default() };
        let identity = Identity::of(&network, &optimizer, &fields, settings.training.epochs)?;
        check_ranks(&machine, (&network, &device), (&identity, &position.data))?;
        let events = match machine.is_first() {
            true => EventLog::open(directory.path())?,
            false => EventLog::default(),
        };
        Ok(Run {
            lock: None,
            machine,
            title,
            config,
            settings,
            identity,
            directory,
            data,
            network,
            optimizer,
            average,
            position,
            events,
            slow: BTreeSet::new(),
        })
    }
}

/// Refuses statistics of micro-batches for norms that a network does not have, or that are computed elsewhere than on the
/// CPU.
///
/// # Errors
/// [`palinode::Error::Config`].
pub(super) fn check_norms<R: Residual>(
    network: &Network<R>,
    training: &TrainingRecipe,
    device: &Device,
) -> Result<()> {
    if training.norm_statistics == NormStatistics::Batch {
        return Ok(());
    }
    let field = "training.norm_statistics";
    if Names::of(network).slots.iter().all(|slot| slot.trainable) {
        return Err(Error::config(field, "has no effect: the network has no batch norm"));
    }
    match is_cpu(device) {
        true => Ok(()),
        false => {
            Err(Error::config(field, "norms have statistics of micro-batches on the CPU alone"))
        }
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
