//! Training by recipe: a network with a built-in residual on one of the known data sets.

use super::agreement::check_program;
use super::described::Described;
use super::directory::Place;
use super::first_reading::FirstReading;
use super::identity::{Fields, is_of_the_machine};
use super::machine::Machine;
use super::observer::Observer;
use super::outcome::Outcome;
use super::ranks::check_shareable;
use super::resumed::Resumed;
use super::reversal::sample;
use super::trainer::{Trainer, check_norms};
use super::training_data::{SplitOptions, TrainingData};
use crate::data::{ImageSource, Split};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use burn::tensor::{Device, Tensor};
use palinode::device::{DeviceName, check_available, is_cpu};
use palinode::network::{Network, NetworkConfig};
use palinode::residual::BuiltIn;
use std::path::{Path, PathBuf};

/// What may change when a run goes on.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Changes {
    /// Epochs of the whole run, which is then trained on; `None`: as many as before.
    pub epochs: Option<usize>,
    /// Where the images are now; `None`: where they were.
    pub data_dir: Option<PathBuf>,
    /// MB that pictures may be kept in from now on; `None`: as before.
    pub memory: Option<u64>,
    /// What the run is computed on from now on; `None`: as before.
    pub device: Option<DeviceName>,
}

impl Changes {
    /// Sets [`epochs`](Self::epochs).
    #[must_use]
    pub fn with_epochs(self, epochs: Option<usize>) -> Self {
        Self { epochs, ..self }
    }

    /// Sets [`data_dir`](Self::data_dir).
    #[must_use]
    pub fn with_data_dir(self, data_dir: Option<PathBuf>) -> Self {
        Self { data_dir, ..self }
    }

    /// Sets [`memory`](Self::memory).
    #[must_use]
    pub fn with_memory(self, memory: Option<u64>) -> Self {
        Self { memory, ..self }
    }

    /// Sets [`device`](Self::device).
    #[must_use]
    pub fn with_device(self, device: Option<DeviceName>) -> Self {
        Self { device, ..self }
    }
}

/// Trains by `recipe` in the new directory `out` (a path, or a [`Place::New`]), with the threads that `machine` chooses and the
/// instruction set that the recipe names, if it names one.
///
/// # Errors
/// As [`Trainer::train`], and where recipe and data do not fit.
pub fn train<'a>(
    recipe: Recipe,
    out: impl Into<Place<'a>>,
    machine: impl Into<Machine>,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let (out, machine) = (out.into(), machine.into());
    // Before many pictures are read.
    if machine.is_first() {
        out.check_free()?;
    }
    let mut recipe = recipe.resolved()?;
    // The recipe that is written down names the instruction set.
    let mut settings = recipe.settings();
    let context = machine.context(&mut settings)?;
    recipe.training.isa = settings.training.isa;
    let trainer = context.install(|| trainer(&recipe, &machine, observer))?;
    trainer.with_machine(machine).train(out, observer)
}

/// Continues the run in `path`, bit for bit as if it had never stopped, on the instruction set that it
/// began with. Nothing of it may have changed but what `changes` says.
///
/// # Errors
/// As [`Trainer::resume`], and where `changes` names epochs as [`Trainer::extend`].
pub fn resume(
    path: &Path,
    machine: impl Into<Machine>,
    changes: &Changes,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let machine = machine.into();
    let (mut resumed, config) = Resumed::open(path, &machine)?;
    let mut recipe = Recipe::parse(&config, &resumed.directory.config(), &[])?;
    let extend = changes.epochs.is_some();
    recipe.training.epochs = changes.epochs.unwrap_or(recipe.training.epochs);
    if let Some(directory) = &changes.data_dir {
        recipe.data.dir = Some(std::path::absolute(directory).map_err(Error::io(directory))?);
    }
    recipe.data.memory = changes.memory.or(recipe.data.memory);
    let (before, device) = (recipe.training.device.unwrap_or_default(), changes.device);
    recipe.training.device = Some(device.unwrap_or(before));
    let mut settings = recipe.settings();
    settings.validate()?;
    let fields: Fields = recipe.fields()?.into_iter().collect();
    if let Some(outcome) = resumed.check(&fields, &settings, extend)? {
        if changes.data_dir.is_some() {
            let reason = "the run is finished, so its images are not read again";
            return Err(Error::config("data.dir", reason));
        }
        if device.is_some_and(|device| device != before) {
            let reason = "the run is finished, so nothing is left to compute";
            return Err(Error::config("training.device", reason));
        }
        return Ok(outcome);
    }
    if let Some(now) = device.filter(|now| *now != before) {
        observer.remark(&format!(
            "the run was computed on {before} so far and continues on {now}; its result is no longer \
             bit-identical to a run on one device"
        ));
    }
    let context = machine.context(&mut settings)?;
    let trainer = context.install(|| trainer(&recipe, &machine, observer)).map_err(|error| {
        match recipe.data.dir.as_ref().filter(|directory| !directory.exists()) {
            Some(directory) => {
                let reason = format!(
                    "{} is not there; name where the images are now with --data-dir",
                    directory.display()
                );
                Error::config("data.dir", reason)
            }
            None => error,
        }
    })?;
    trainer.with_machine(machine).go_on(resumed, extend, observer)
}

/// The network of a resolved recipe with its initial weights, on the CPU, and its first `images` training images,
/// standardised.
///
/// # Errors
/// Where recipe and data do not fit, and where the images cannot be read.
pub fn initial_network(recipe: &Recipe, images: usize) -> Result<(Network, Tensor<4>)> {
    let training = recipe.data.load(Split::Train)?;
    let config = network_config(recipe, &training)?;
    let training = recipe.data.room(&[], 1)?.keep(training);
    let data = TrainingData::split(training, split_options(recipe))?;
    let device = Device::flex();
    let batch = sample(&data, images, &device)?;
    let batch = batch.ok_or_else(|| Error::config("data", "there is no image to train on"))?;
    let modes = recipe.training.modes_for(&config);
    Ok((config.init_in(recipe.seed, &modes, &device.autodiff())?, batch.images))
}

/// How a recipe divides its images.
fn split_options(recipe: &Recipe) -> SplitOptions {
    SplitOptions::default()
        .with_validation(recipe.data.validation)
        .with_subset(recipe.data.subset)
        .with_mean(recipe.data.mean)
        .with_seed(recipe.seed)
}

/// The network of a recipe for images like those of `source`.
fn network_config(recipe: &Recipe, source: &dyn ImageSource) -> Result<NetworkConfig> {
    recipe.network(source.channels(), source.size(), source.classes().len())
}

/// The trainer of a resolved recipe.
fn trainer(
    recipe: &Recipe,
    machine: &Machine,
    observer: &mut dyn Observer,
) -> Result<Trainer<BuiltIn>> {
    let device = recipe.training.device.unwrap_or_default().open()?;
    // What can be wrong without images, before all of them are read: another recipe or too many ranks …
    let fields = recipe.fields()?.into_iter();
    check_program(machine, fields.filter(|(name, _)| !is_of_the_machine(name)).collect())?;
    check_shareable(machine, &device, recipe.training.microbatches)?;
    let training = recipe.data.load(Split::Train)?;
    // … images that are not there. (The test images now, not after the last epoch.)
    let test = match recipe.training.test {
        true => Some(recipe.data.load(Split::Test).map_err(untested)?),
        false => None,
    };
    // … and a network that does not fit into the memory, or that a setting does not fit.
    let config = network_config(recipe, &training)?;
    let modes = recipe.training.modes_for(&config);
    let images = machine.images(recipe.training.batch_size.min(training.len()));
    let parts = config.step_bytes(config.parameter_count().total, &modes, images)?;
    let parts = recipe.optimizer.with_state(parts);
    check_available(&device, &parts)?;
    let network = config.init_in(recipe.seed, &modes, &device.clone().autodiff())?;
    check_norms(&network, &recipe.training, &device)?;

    let beside = if is_cpu(&device) { &parts[..] } else { &[] };
    let mut room = recipe.data.room(beside, machine.processes()?)?;
    let (training, test) = (room.keep(training), test.map(|test| room.keep(test)));
    if let Some(remark) = room.remark() {
        observer.remark(&remark);
    }
    let mut progress = |done, images| observer.loading(done, images);
    let mut reading = FirstReading::new(machine, &mut progress);
    let mut data = TrainingData::split_by(training, split_options(recipe), &mut reading)?;
    if let Some(test) = test {
        let remarks = data.remarks().to_vec();
        // Did nobody train on them?
        let tested = data.with_test_by(test, recipe.data.allowed_overlap, &mut reading);
        data = tested.inspect_err(|_| {
            remarks.iter().for_each(|remark| observer.remark(remark));
        })?;
    }
    let title = format!("{} on {}", config.model, recipe.data.name.name());
    Ok(Trainer::new(network, data).with_settings(recipe.settings()).with_title(title).with_recipe(
        Described { config: recipe.to_toml()?, fields: recipe.fields()?.into_iter().collect() },
    ))
}

/// The error of a test part that cannot be read, with the way to do without.
fn untested(error: Error) -> Error {
    match error {
        Error::Library(palinode::Error::Format { path, reason }) if !path.exists() => {
            let hint = format!("{reason}; to train without a test part, set training.test = false");
            Error::format(path, hint)
        }
        error => error,
    }
}
