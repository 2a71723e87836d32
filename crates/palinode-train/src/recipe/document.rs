//! A recipe as a TOML document: reading, overriding, writing.

use super::optimizer::{OptimizerRecipe, SmoothnessRecipe};
use super::overrides::{Override, fields_of, remove, set};
use super::replaced::replaced_fields;
use super::schedule::Schedule;
use super::sections::{DataRecipe, ModelRecipe};
use super::settings::Settings;
use super::training::TrainingRecipe;
use crate::data::Augmentation;
use crate::error::{Error, Result};
use palinode::wording::in_words;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Table;

/// The version of the recipe format this program reads.
pub const RECIPE_VERSION: u32 = 1;

/// A recipe with every field and its default, as `palinode init-recipe` writes it.
pub const TEMPLATE: &str = include_str!("template.toml");

/// A recipe whose settings are all defaults.
pub const DEFAULTS: &str = "recipe_version = 1\n";

/// The recipe of `palinode train` without arguments.
pub const QUICK_START: &str = include_str!("quick-start.toml");

/// Everything a run depends on.
///
/// [`TEMPLATE`] describes each field. The defaults are the report's, with the paper's augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Recipe {
    /// [`RECIPE_VERSION`].
    pub recipe_version: u32,
    /// Seed of initial weights, split, shuffling and augmentation.
    pub seed: u64,
    /// The network.
    pub model: ModelRecipe,
    /// The images.
    pub data: DataRecipe,
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

impl Default for Recipe {
    fn default() -> Self {
        Self {
            recipe_version: RECIPE_VERSION,
            seed: 0,
            model: ModelRecipe::default(),
            data: DataRecipe::default(),
            augmentation: Augmentation::default(),
            optimizer: OptimizerRecipe::default(),
            smoothness: SmoothnessRecipe::default(),
            schedule: Schedule::default(),
            training: TrainingRecipe::default(),
        }
    }
}

impl Recipe {
    /// Reads the recipe file at `path` and applies overrides of the form
    /// (`optimizer.learning_rate`, 0.05).
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`palinode::Error::Io`].
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&text, path, overrides)
    }

    /// Reads a recipe's text and applies overrides; `path` is for messages.
    ///
    /// An override also removes the settings of the text that it makes meaningless: a model brings its own
    /// blocks, widths and scheme, another data set is not in the directory of the first.
    ///
    /// # Errors
    /// [`palinode::Error::Format`] for a text that is no recipe or has no `recipe_version`,
    /// [`palinode::Error::Config`] for a value that is not allowed.
    pub fn parse(text: &str, path: &Path, overrides: &[Override]) -> Result<Self> {
        let wrong = |error: toml::de::Error| Error::format(path, in_words(&error.to_string()));
        // As a recipe first: its messages name line and column.
        toml::from_str::<Self>(text).map_err(wrong)?;
        let mut table = toml::from_str::<Table>(text).map_err(wrong)?;
        if !table.contains_key("recipe_version") {
            let reason = format!(
                "no recipe: `recipe_version = {RECIPE_VERSION}` is missing at its beginning"
            );
            return Err(Error::format(path, reason));
        }
        for field in replaced_fields(&table, overrides) {
            remove(&mut table, field);
        }
        for (field, value) in overrides {
            set(&mut table, field, value.clone())?;
        }
        let recipe: Self = serde_path_to_error::deserialize(table).map_err(|error| {
            Error::config(error.path().to_string(), in_words(error.inner().message()))
        })?;
        recipe.validate().map_err(|error| match overrides.is_empty() {
            true => Error::format(path, error.to_string()),
            // The override may be at fault, not the file.
            false => error,
        })?;
        Ok(recipe)
    }

    /// How the network is trained: all sections but model and data.
    pub fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            augmentation: self.augmentation,
            optimizer: self.optimizer.clone(),
            smoothness: self.smoothness,
            schedule: self.schedule.clone(),
            training: self.training.clone(),
        }
    }

    /// As TOML.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where a value has no TOML form (a seed beyond 2⁶³).
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| Error::config("recipe", error.to_string()))
    }

    /// Every field by its dotted name, with its value as text.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub fn fields(&self) -> Result<Vec<(String, String)>> {
        fields_of(self, "recipe")
    }
}

#[cfg(test)]
mod tests;
