//! How a network is trained: a recipe without the sections for model and data.

use super::optimizer::{OptimizerRecipe, SmoothnessRecipe};
use super::overrides::fields_of;
use super::schedule::Schedule;
use super::setters::setters;
use super::training::TrainingRecipe;
use crate::data::Augmentation;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// How a network is trained, whatever the network and its images.
///
/// A [`Trainer`](crate::train::Trainer) takes these settings from code. In a recipe they are the
/// sections of the same names. The default is the report's training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Seed of shuffling, augmentation and dropout.
    pub seed: u64,
    /// How training images are varied.
    pub augmentation: Augmentation,
    /// How weights are updated.
    pub optimizer: OptimizerRecipe,
    /// A penalty on rough weights.
    pub smoothness: SmoothnessRecipe,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// How long, in which batches, and from which weights.
    pub training: TrainingRecipe,
}

setters!(Settings {
    with_seed => seed: u64,
    with_augmentation => augmentation: Augmentation,
    with_optimizer => optimizer: OptimizerRecipe,
    with_smoothness => smoothness: SmoothnessRecipe,
    with_schedule => schedule: Schedule,
    with_training => training: TrainingRecipe,
});

impl Settings {
    /// Every setting by its dotted name, with its value as text.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where a value has no TOML form (a seed beyond 2⁶³).
    pub fn fields(&self) -> Result<Vec<(String, String)>> {
        fields_of(self, "settings")
    }
}
