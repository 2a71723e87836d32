//! Which values a recipe's fields may have.

use super::document::{RECIPE_VERSION, Recipe};
use super::optimizer::OptimizerRecipe;
use super::settings::Settings;
use super::training::TrainingRecipe;
use crate::error::{Error, Result};
use palinode::Microbatches;
use palinode::network::NetworkConfig;

impl Recipe {
    /// Checks every field by itself; whether they fit each other shows when the network is made.
    pub(super) fn validate(&self) -> Result<()> {
        if self.recipe_version != RECIPE_VERSION {
            return Err(Error::config(
                "recipe_version",
                format!("{}; this program reads version {RECIPE_VERSION}", self.recipe_version),
            ));
        }
        let subset = self.data.subset;
        within("data.subset", subset, subset > 0.0 && subset <= 1.0, "above 0 and at most 1")?;
        fraction("data.validation", self.data.validation)?;
        self.settings().validate()?;
        NetworkConfig::named(&self.model.name)?;
        Ok(())
    }
}

impl Settings {
    /// Checks every field.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] naming the first field with a value that is not allowed.
    pub fn validate(&self) -> Result<()> {
        optimizer(&self.optimizer)?;
        at_least_zero("smoothness.strength", self.smoothness.strength)?;
        training(&self.training)?;
        self.schedule.validate()
    }
}

fn optimizer(recipe: &OptimizerRecipe) -> Result<()> {
    positive("optimizer.learning_rate", recipe.learning_rate)?;
    fraction("optimizer.momentum", recipe.momentum)?;
    recipe.betas.iter().try_for_each(|&beta| fraction("optimizer.betas", beta))?;
    positive("optimizer.epsilon", recipe.epsilon)?;
    at_least_zero("optimizer.weight_decay", recipe.weight_decay)?;
    at_least_zero("optimizer.clip_norm", recipe.clip_norm)
}

fn training(recipe: &TrainingRecipe) -> Result<()> {
    fraction("training.label_smoothing", recipe.label_smoothing)?;
    fraction("training.average", recipe.average)?;
    positive("training.reversal_tolerance", recipe.reversal_tolerance)?;
    positive("training.gradient_tolerance", recipe.gradient_tolerance)?;
    if recipe.epochs > 1_000_000 {
        let reason = format!("{} is more than a million", recipe.epochs);
        return Err(Error::config("training.epochs", reason));
    }
    for (field, value) in [
        ("training.batch_size", recipe.batch_size),
        ("training.accumulate", recipe.accumulate),
        ("training.validate_every", recipe.validate_every),
    ] {
        if value == 0 {
            return Err(Error::config(field, "0 is not positive"));
        }
    }
    if let Err(error) = Microbatches::new(recipe.microbatches) {
        return Err(Error::config("training.microbatches", error.to_string()));
    }
    if recipe.freeze.iter().any(String::is_empty) {
        let reason = "an empty name matches nothing; name a parameter or a module, as in `stem`";
        return Err(Error::config("training.freeze", reason));
    }
    Ok(())
}

fn within(field: &str, value: f64, fits: bool, range: &str) -> Result<()> {
    match (value.is_finite(), fits) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::config(field, format!("{value} is not {range}"))),
        (false, _) => Err(Error::config(field, format!("{value} is not a finite number"))),
    }
}

fn fraction(field: &str, value: f64) -> Result<()> {
    within(field, value, (0.0..1.0).contains(&value), "at least 0 and below 1")
}

fn positive(field: &str, value: f64) -> Result<()> {
    within(field, value, value > 0.0, "positive")
}

fn at_least_zero(field: &str, value: f64) -> Result<()> {
    within(field, value, value >= 0.0, "at least 0")
}
