//! Training by recipe: a network with a built-in residual on one of the known data sets.

use super::directory::RunDirectory;
use super::observer::Observer;
use super::outcome::Outcome;
use super::trainer::{Trainer, context};
use super::training_data::{SplitOptions, TrainingData};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use burn::tensor::Device;
use palinode::residual::BuiltIn;
use palinode_kernels::ContextBuilder;
use std::path::Path;
use std::sync::Arc;

/// Trains by `recipe` in the new directory `out`, with the threads that `machine` chooses and the
/// instruction set that the recipe names, if it names one.
///
/// # Errors
/// As [`Trainer::train`], and where recipe and data do not fit.
pub fn train(
    recipe: Recipe,
    out: &Path,
    machine: ContextBuilder,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut recipe = recipe.resolved()?;
    // The recipe that is written down names the instruction set.
    let mut settings = recipe.settings();
    let context = context(machine, &mut settings)?;
    recipe.training.isa = settings.training.isa;
    context.install(|| trainer(&recipe, observer))?.with_machine(machine).train(out, observer)
}

/// Continues the run in `path`, bit for bit as if it had never stopped, on the instruction set that it
/// began with.
///
/// # Errors
/// As [`Trainer::resume`].
pub fn resume(
    path: &Path,
    machine: ContextBuilder,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let directory = RunDirectory::open(path)?;
    let recipe = Recipe::load(&directory.config(), &[])?;
    if let Some(outcome) = Outcome::load(&directory)? {
        return Ok(outcome);
    }
    let context = context(machine, &mut recipe.settings())?;
    context.install(|| trainer(&recipe, observer))?.with_machine(machine).resume(path, observer)
}

/// The trainer of a resolved recipe.
fn trainer(recipe: &Recipe, observer: &mut dyn Observer) -> Result<Trainer<BuiltIn>> {
    let options = SplitOptions::default()
        .with_validation(recipe.data.validation)
        .with_subset(recipe.data.subset)
        .with_mean(recipe.data.mean)
        .with_seed(recipe.seed);
    let mut progress = |done, pictures| {
        observer.loading(done, pictures);
        Ok(())
    };
    // The test images now, not after the last epoch: can they be read, and did nobody train on them?
    let test = match recipe.training.test {
        true => Some(recipe.data.load(Split::Test, &mut progress).map_err(untested)?),
        false => None,
    };
    let training = recipe.data.load(Split::Train, &mut progress)?;
    let mut data = TrainingData::split_shared(Arc::new(training), options)?;
    if let Some(test) = test {
        let remarks = data.remarks().to_vec();
        data = data.with_test(test, recipe.data.allowed_overlap).inspect_err(|_| {
            remarks.iter().for_each(|remark| observer.remark(remark));
        })?;
    }
    let info = data.info();
    let config = recipe.network(info.channels, info.size, info.classes.len())?;
    let mode = recipe.training.mode.unwrap_or_else(|| config.usual_mode());
    let network = config.init(recipe.seed, mode, &Device::flex().autodiff())?;
    let title = format!("{} on {}", config.model, recipe.data.name.name());
    Ok(Trainer::new(network, data)
        .with_settings(recipe.settings())
        .with_title(title)
        .with_config(recipe.to_toml()?))
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
