//! Recipes: everything a run depends on, as TOML.

mod overrides;
mod schedule;
mod sections;

pub use overrides::{Override, parse_override};
pub use schedule::{Kind, Schedule};
pub use sections::{DataRecipe, Decayed, ModelRecipe, OptimizerRecipe, StemRecipe, TrainingRecipe};
/// A TOML value.
pub use toml::Value;

use crate::data::Augmentation;
use crate::error::{Error, Result};
use crate::train::smoothness::SmoothnessRecipe;
use overrides::{flatten, set};
use palinode::network::{NetworkConfig, StemConfig};
use palinode::residual::BuiltInConfig;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::Table;

/// The version of the recipe format this program reads.
pub const RECIPE_VERSION: u32 = 1;

/// A recipe with every field and its default, as `palinode init-recipe` writes it.
pub const TEMPLATE: &str = include_str!("template.toml");

/// The recipe of `palinode train` without arguments.
pub const QUICK_START: &str = include_str!("quick-start.toml");

/// Everything a run depends on. [`TEMPLATE`] describes each field; the defaults are the report's,
/// with the paper's augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// How long and in which portions.
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
    /// As [`parse`](Self::parse), and [`Error::Io`].
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&text, path, overrides)
    }

    /// Reads a recipe's text and applies overrides; `path` is for messages.
    ///
    /// An override of the model's name also drops what the text says of its blocks, widths, scheme,
    /// residual, layout and step, and one of the variant what that brings: it belonged to the other
    /// model.
    ///
    /// # Errors
    /// [`Error::Format`] for a text that is no recipe, [`Error::Config`] for values that cannot be
    /// meant.
    pub fn parse(text: &str, path: &Path, overrides: &[Override]) -> Result<Self> {
        let wrong = |error: toml::de::Error| Error::format(path, error.to_string());
        // As a recipe first: its messages name line and column.
        toml::from_str::<Self>(text).map_err(wrong)?;
        let mut table = toml::from_str::<Table>(text).map_err(wrong)?;
        let given = |name: &str| overrides.iter().find(|(field, _)| field == name).map(|o| &o.1);
        let large = given("model.variant").and_then(Value::as_str) == Some("inception-large");
        let foreign = if given("model.name").is_some() {
            &[
                "blocks",
                "widths",
                "scheme",
                "residual",
                "layout",
                "step",
                "bottleneck",
                "groups",
                "block_norm",
            ][..]
        } else if large {
            &["residual", "blocks", "widths"][..]
        } else if given("model.variant").is_some() {
            &["residual"][..]
        } else {
            &[][..]
        };
        if !foreign.is_empty()
            && let Some(model) = table.get_mut("model").and_then(Value::as_table_mut)
        {
            for field in foreign {
                model.remove(*field);
            }
        }
        for (field, value) in overrides {
            set(&mut table, field, value.clone())?;
        }
        let recipe: Self = serde_path_to_error::deserialize(table).map_err(|error| {
            Error::config(error.path().to_string(), error.inner().message().to_owned())
        })?;
        recipe.validate().map_err(|error| match overrides.is_empty() {
            true => Error::format(path, error.to_string()),
            // It may be what was given beside the file.
            false => error,
        })?;
        Ok(recipe)
    }

    /// The recipe with every choice written out: what `config.toml` of a run holds.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown model.
    pub fn resolved(mut self) -> Result<Self> {
        if let Some(directory) = &mut self.data.dir {
            // A run may be resumed from elsewhere.
            *directory = std::path::absolute(&directory).map_err(Error::io(&directory))?;
        }
        let config = self.base()?;
        self.training.mode.get_or_insert(config.usual_mode());
        let model = &mut self.model;
        model.layout.get_or_insert(config.layout);
        model.scheme.get_or_insert(config.scheme);
        model.residual.get_or_insert(config.residual);
        model.blocks.get_or_insert(config.blocks);
        model.widths.get_or_insert(config.widths);
        model.step.get_or_insert(config.step);
        model.block_norm.get_or_insert(config.block_norm);
        model.dropout.get_or_insert(config.dropout);
        model.stem.norm.get_or_insert(config.stem.norm);
        model.stem.activation.get_or_insert(config.stem.activation);
        (model.bottleneck, model.groups) = (config.bottleneck, config.groups);
        Ok(self)
    }

    /// The network for images of this kind.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown model or settings that do not fit.
    pub fn network(
        &self,
        channels: usize,
        size: [usize; 2],
        classes: usize,
    ) -> Result<NetworkConfig> {
        let config = self.base()?.for_data(channels, size, classes);
        config.validate()?;
        Ok(config)
    }

    /// The network for the named model's usual images.
    fn base(&self) -> Result<NetworkConfig> {
        let model = &self.model;
        let mut config = NetworkConfig::named(&model.name)?;
        if let Some(scheme) = model.scheme.filter(|scheme| *scheme != config.scheme) {
            config.scheme = scheme;
            config.residual = BuiltInConfig::usual_for(scheme);
        }
        let mut config = config.with_variant(model.variant);
        let given = |number: usize| (number > 0).then_some(number);
        config.layout = model.layout.unwrap_or(config.layout);
        config.residual = model.residual.unwrap_or(config.residual);
        config.activation = model.activation;
        config.step = model.step.unwrap_or(config.step);
        config.start = model.start;
        if let Some(blocks) = &model.blocks {
            config.blocks.clone_from(blocks);
        }
        if let Some(widths) = &model.widths {
            config.widths.clone_from(widths);
        }
        config.stem = StemConfig {
            norm: model.stem.norm.unwrap_or(config.stem.norm),
            activation: model.stem.activation.unwrap_or(config.stem.activation),
        };
        config.block_norm = model.block_norm.unwrap_or(config.block_norm);
        config.block_dropout = model.block_dropout;
        config.dropout = model.dropout.unwrap_or(config.dropout);
        config.survival = model.survival;
        config.bottleneck = given(model.bottleneck).unwrap_or(config.bottleneck);
        config.groups = given(model.groups).unwrap_or(config.groups);
        Ok(config)
    }

    /// As TOML.
    ///
    /// # Errors
    /// [`Error::Config`] where a value has no TOML form (a seed beyond 2⁶³).
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| Error::config("recipe", error.to_string()))
    }

    /// Every field by its dotted name, with its value as text.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub fn fields(&self) -> Result<Vec<(String, String)>> {
        let path = Path::new("recipe");
        let table = toml::from_str::<Table>(&self.to_toml()?)
            .map_err(|error| Error::format(path, error.to_string()))?;
        Ok(flatten("", &table))
    }

    fn validate(&self) -> Result<()> {
        if self.recipe_version != RECIPE_VERSION {
            return Err(Error::config(
                "recipe_version",
                format!("{}; this program reads version {RECIPE_VERSION}", self.recipe_version),
            ));
        }
        let within = |field: &str, value: f64, fits: bool, range: &str| {
            if value.is_finite() && fits {
                return Ok(());
            }
            Err(Error::config(field, format!("{value} is not {range}")))
        };
        let o = &self.optimizer;
        within("optimizer.learning_rate", o.learning_rate, o.learning_rate > 0.0, "positive")?;
        let share = (0.0..1.0).contains(&o.momentum);
        within("optimizer.momentum", o.momentum, share, "at least 0 and below 1")?;
        within("optimizer.weight_decay", o.weight_decay, o.weight_decay >= 0.0, "at least 0")?;
        within("optimizer.clip_norm", o.clip_norm, o.clip_norm >= 0.0, "at least 0")?;
        for (field, share) in [
            ("training.label_smoothing", self.training.label_smoothing),
            ("training.average", self.training.average),
        ] {
            within(field, share, (0.0..1.0).contains(&share), "at least 0 and below 1")?;
        }
        let s = self.smoothness.strength;
        within("smoothness.strength", s, s >= 0.0, "at least 0")?;
        let subset = self.data.subset;
        let share = subset > 0.0 && subset <= 1.0;
        within("data.subset", subset, share, "above 0 and at most 1")?;
        let v = self.data.validation;
        within("data.validation", v, (0.0..1.0).contains(&v), "at least 0 and below 1")?;
        for (field, pixels) in [
            ("augmentation.crop_padding", self.augmentation.crop_padding),
            ("augmentation.cutout", self.augmentation.cutout),
        ] {
            if pixels > 1024 {
                return Err(Error::config(field, format!("{pixels} is more than 1024")));
            }
        }
        if self.training.epochs > 1_000_000 {
            let reason = format!("{} is more than a million", self.training.epochs);
            return Err(Error::config("training.epochs", reason));
        }
        for (field, value) in [
            ("training.batch_size", self.training.batch_size),
            ("training.validate_every", self.training.validate_every),
        ] {
            if value == 0 {
                return Err(Error::config(field, "0 is not positive"));
            }
        }
        self.schedule.validate()?;
        NetworkConfig::named(&self.model.name)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SourceName;
    use palinode::reversible::{Algorithm, Differentiation};
    use palinode::scheme::SchemeName;
    use palinode_kernels::Isa;

    fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<Recipe> {
        let owned: Vec<_> = overrides
            .iter()
            .map(|(field, value)| parse_override(&format!("{field}={value}")).unwrap())
            .collect();
        Recipe::parse(text, Path::new("recipe.toml"), &owned)
    }

    /// The template's commented defaults, uncommented, are the defaults, and none is left out.
    #[test]
    fn the_template_shows_every_default() {
        let uncommented: String = TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix("#: ") {
                Some(setting) => format!("{setting}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        assert_eq!(parse(TEMPLATE, &[]).unwrap(), Recipe::default());
        let shown = parse(&uncommented, &[]).unwrap().resolved().unwrap();
        let resolved = Recipe::default().resolved().unwrap();
        let (dir, fold) = (shown.data.dir.clone(), Some(0));
        let with_dir = DataRecipe { dir, fold, ..resolved.data.clone() };
        let training = TrainingRecipe {
            isa: Some(Isa::Avx2),
            algorithm: Some(Algorithm::Winograd2),
            ..resolved.training.clone()
        };
        let expected = Recipe { data: with_dir, training, ..resolved.clone() };
        assert_eq!(shown, expected);

        let fields = |text: &str| -> Vec<String> {
            let table: Table = toml::from_str(text).unwrap();
            let named = flatten("", &table).into_iter().map(|(name, _)| name);
            let mut fields: Vec<String> = named.collect();
            fields.sort();
            fields
        };
        let mut written = fields(&resolved.to_toml().unwrap());
        let unset = ["data.dir", "data.fold", "training.isa", "training.algorithm"];
        written.extend(unset.map(str::to_owned));
        written.sort();
        assert_eq!(fields(&uncommented), written);
    }

    #[test]
    fn the_quick_start_is_what_it_promises() {
        let recipe = parse(QUICK_START, &[]).unwrap().resolved().unwrap();
        assert_eq!(recipe.training.mode, Some(Differentiation::Reversible));
        let config = recipe.network(1, [32, 32], 10).unwrap();
        assert_eq!(config.scheme, SchemeName::Hamiltonian);
        assert!(config.blocks.iter().all(|&blocks| blocks >= 2));
    }

    #[test]
    fn overrides_reach_every_depth_and_type() {
        let recipe = parse(
            "seed = 1",
            &[
                ("optimizer.learning_rate", "0.5"),
                ("model.blocks", "[1, 2, 3]"),
                ("model.stem.activation", "relu"),
                ("data.name", "cifar-10"),
                ("seed", "7"),
            ],
        )
        .unwrap();
        assert_eq!(recipe.optimizer.learning_rate, 0.5);
        assert_eq!(recipe.model.blocks, Some(vec![1, 2, 3]));
        assert_eq!(recipe.data.name, SourceName::Cifar10);
        assert_eq!(recipe.seed, 7);
    }

    #[test]
    fn another_model_brings_its_own_shape() {
        let recipe = parse(QUICK_START, &[("model.name", "midpoint-26")]).unwrap();
        let model = recipe.resolved().unwrap().model;
        assert_eq!(model.blocks, Some(vec![4, 4, 4]));
        assert_eq!(model.scheme, Some(SchemeName::Midpoint));
        let both = [("model.blocks", "[1, 1, 1]"), ("model.name", "midpoint-26")];
        let model = parse(QUICK_START, &both).unwrap().model;
        assert_eq!(model.blocks, Some(vec![1, 1, 1]), "what is asked for beside the name stays");
    }

    #[test]
    fn resolving_is_idempotent_and_survives_toml() {
        let resolved = Recipe::default().resolved().unwrap();
        let again = parse(&resolved.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(again, resolved);
        assert_eq!(again.clone().resolved().unwrap(), again);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text, set: &[_]| parse(text, set).unwrap_err().to_string();
        assert!(message("sed = 1", &[]).contains("unknown field `sed`"));
        assert!(message("[model]\nname = \"x\"", &[]).contains("no model `x`"));
        assert!(message("recipe_version = 2", &[]).contains("reads version 1"));
        assert!(message("[training]\nbatch_size = 0", &[]).contains("training.batch_size"));
        assert!(message("", &[("optimizer.lr", "1")]).contains("optimizer.lr: unknown field `lr`"));
        assert!(message("", &[("seed.x", "1")]).contains("seed: "));
        assert!(message("", &[("data.name", "mnist")]).contains("data.name: unknown variant"));
        assert!(message("", &[("optimizer.momentum", "1.0")]).contains("optimizer.momentum"));
        assert!(message("seed = ", &[]).contains("recipe.toml"));
    }
}
