//! Training by recipe: a network with a built-in residual on one of the known data sets.

use super::directory::RunDirectory;
use super::observer::Observer;
use super::outcome::Outcome;
use super::trainer::{Trainer, context};
use super::training_data::{SplitOptions, TrainingData};
use crate::data::Split;
use crate::error::Result;
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
    context.install(|| trainer(&recipe))?.with_machine(machine).train(out, observer)
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
    context.install(|| trainer(&recipe))?.with_machine(machine).resume(path, observer)
}

/// The trainer of a resolved recipe.
fn trainer(recipe: &Recipe) -> Result<Trainer<BuiltIn>> {
    let options = SplitOptions::default()
        .with_validation(recipe.data.validation)
        .with_subset(recipe.data.subset)
        .with_mean(recipe.data.mean)
        .with_seed(recipe.seed);
    // The test images now, not after the last epoch: can they be read, and did nobody train on them?
    let test = recipe.data.load(Split::Test)?;
    let data = TrainingData::split_shared(Arc::new(recipe.data.load(Split::Train)?), options)?
        .with_shared_test(Arc::new(test), recipe.data.allowed_overlap)?;
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
