//! A recipe as a TOML document: reading, overriding, writing.

use super::optimizer::{OptimizerRecipe, SmoothnessRecipe};
use super::overrides::{Override, flatten, remove, set};
use super::replaced::replaced_fields;
use super::schedule::Schedule;
use super::sections::{DataRecipe, ModelRecipe};
use super::settings::Settings;
use super::training::TrainingRecipe;
use super::wording::in_words;
use crate::data::Augmentation;
use crate::error::{Error, Result};
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
    /// An override also removes the settings of the text that it makes meaningless, as
    /// [`replaced_fields`] lists them: a model brings its own blocks, widths and scheme, another data
    /// set is not in the directory of the first.
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
        let path = Path::new("recipe");
        let table = toml::from_str::<Table>(&self.to_toml()?)
            .map_err(|error| Error::format(path, error.to_string()))?;
        Ok(flatten("", &table))
    }
}

#[cfg(test)]
mod tests {
    use super::super::overrides::parse_override;
    use super::*;
    use crate::data::SourceName;
    use palinode::network::TransitionKind;
    use palinode::reversible::{Algorithm, Differentiation};
    use palinode::scheme::SchemeName;
    use palinode_kernels::Isa;

    fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<Recipe> {
        let owned: Vec<_> = overrides
            .iter()
            .map(|(field, value)| parse_override(&format!("{field}={value}")).unwrap())
            .collect();
        let text = match text.contains("recipe_version") {
            true => text.to_owned(),
            false => format!("{DEFAULTS}{text}"),
        };
        Recipe::parse(&text, Path::new("recipe.toml"), &owned)
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
            start: shown.training.start.clone(),
            ..resolved.training.clone()
        };
        let transitions = Some(vec![TransitionKind::Pool; 2]);
        let model = ModelRecipe { transitions, ..resolved.model.clone() };
        let expected = Recipe { model, data: with_dir, training, ..resolved.clone() };
        assert_eq!(shown, expected);

        let fields = |text: &str| -> Vec<String> {
            let table: Table = toml::from_str(text).unwrap();
            let named = flatten("", &table).into_iter().map(|(name, _)| name);
            let mut fields: Vec<String> = named.collect();
            fields.sort();
            fields
        };
        let mut written = fields(&resolved.to_toml().unwrap());
        let unset = [
            "model.transitions",
            "data.dir",
            "data.fold",
            "training.isa",
            "training.algorithm",
            "training.start",
        ];
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

    /// A recipe with every choice written out is as good a beginning as a short one.
    #[test]
    fn an_override_of_a_resolved_recipe_is_as_one_of_the_defaults() {
        let of = |model: &str| parse("", &[("model.name", model)]).unwrap().resolved().unwrap();
        let written = |recipe: &Recipe| recipe.to_toml().unwrap();
        let models = ["hamiltonian-74", "resnet-32", "midpoint-26", "resnext-29"];
        for first in models {
            for second in models {
                let changed = parse(&written(&of(first)), &[("model.name", second)]).unwrap();
                assert_eq!(changed.resolved().unwrap(), of(second), "{first}, then {second}");
            }
        }
        let variants = ["plain", "regularized", "inception", "inception-large"];
        let with =
            |variant: &str| parse("", &[("model.variant", variant)]).unwrap().resolved().unwrap();
        for first in variants {
            for second in variants {
                let changed = parse(&written(&with(first)), &[("model.variant", second)]).unwrap();
                assert_eq!(changed.resolved().unwrap(), with(second), "{first}, then {second}");
            }
        }
        let euler = parse(&written(&of("hamiltonian")), &[("model.scheme", "midpoint")]).unwrap();
        let expected = parse("", &[("model.name", "hamiltonian"), ("model.scheme", "midpoint")]);
        assert_eq!(euler.resolved().unwrap(), expected.unwrap().resolved().unwrap());
        let moved = parse(
            "[data]\nname = \"stl-10\"\ndir = \"/x\"\nfold = 1",
            &[("data.name", "cifar-10")],
        );
        assert_eq!(moved.unwrap().data.fold, None);
        let chosen = [("model.name", "resnet-32"), ("training.mode", "checkpointed")];
        let chosen = parse(&written(&of("hamiltonian")), &chosen).unwrap();
        assert_eq!(chosen.training.mode, Some(Differentiation::Checkpointed));
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
        assert!(message("", &[("optimizer.name", "adam")]).contains("unknown variant `adam`"));
        assert!(message("", &[("optimizer.betas", "[0.9, 1.0]")]).contains("optimizer.betas"));
        assert!(message("", &[("optimizer.epsilon", "0.0")]).contains("optimizer.epsilon"));
        assert!(message("", &[("training.accumulate", "0")]).contains("training.accumulate"));
        assert!(message("", &[("training.freeze", "[\"\"]")]).contains("training.freeze"));
        assert!(message("seed = ", &[]).contains("recipe.toml"));
        let empty = Recipe::parse("", Path::new("e.toml"), &[]).unwrap_err().to_string();
        assert!(empty.contains("e.toml: no recipe: `recipe_version = 1`"), "{empty}");
        let text = message("", &[("training.epochs", "many")]);
        assert!(text.contains("expected a whole number") && !text.contains("usize"), "{text}");
    }
}
