//! The experiment file.

use crate::error::{Error, Result};
use crate::recipe::{DEFAULTS, Override, Recipe, Value, parse_override};
use palinode::wording::in_words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The version of the format this program reads.
pub const EXPERIMENT_VERSION: u32 = 1;

/// An experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`EXPERIMENT_VERSION`].
    pub experiment_version: u32,
    /// The heading of the table and the page.
    pub title: String,
    /// The recipe of rows that name none, relative to the directory of this file.
    pub recipe: Option<PathBuf>,
    /// Settings of every row, in the form of `--set`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Seeds that every row is run with.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Subsets of the training images that every row is run on (`data.subset`).
    #[serde(default = "all_images")]
    pub subsets: Vec<f64>,
    /// The rows of the table.
    #[serde(rename = "row")]
    pub rows: Vec<RowPlan>,
}

/// `[[row]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowPlan {
    /// Its name in the table, which no other row has.
    pub name: String,
    /// Its recipe, instead of the experiment's.
    pub recipe: Option<PathBuf>,
    /// Settings, after the experiment's.
    #[serde(default)]
    pub set: Vec<String>,
    /// Its seeds, instead of the experiment's.
    pub seeds: Option<Vec<u64>>,
    /// Its subsets, instead of the experiment's.
    pub subsets: Option<Vec<f64>>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

fn all_images() -> Vec<f64> {
    vec![1.0]
}

/// One run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The row's name.
    pub row: String,
    /// Share of the training images.
    pub subset: f64,
    /// Seed.
    pub seed: u64,
    /// The resolved recipe.
    pub recipe: Recipe,
    /// Name of its directory among the experiment's runs.
    pub directory: String,
}

impl Plan {
    /// Reads an experiment file.
    ///
    /// # Errors
    /// [`palinode::Error::Io`], [`palinode::Error::Format`] for a text that is no experiment.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let plan: Self = toml::from_str(&text)
            .map_err(|error| Error::format(path, in_words(&error.to_string())))?;
        if plan.experiment_version != EXPERIMENT_VERSION {
            return Err(Error::format(
                path,
                format!(
                    "experiment_version {}; this program reads version {EXPERIMENT_VERSION}",
                    plan.experiment_version
                ),
            ));
        }
        Ok(plan)
    }

    /// All runs in the order of the rows. The paths of recipes are relative to `directory`.
    ///
    /// # Errors
    /// What is wrong with a recipe or a setting; [`palinode::Error::Config`] for rows of one name.
    pub fn trials(&self, directory: &Path) -> Result<Vec<Trial>> {
        let mut trials = Vec::new();
        let (mut known, mut rows) = (BTreeSet::new(), BTreeSet::new());
        for row in &self.rows {
            if !rows.insert(&row.name) {
                let reason = format!("two rows are called `{}`", row.name);
                return Err(Error::config("row.name", reason));
            }
            let seeds = row.seeds.as_ref().unwrap_or(&self.seeds);
            let subsets = row.subsets.as_ref().unwrap_or(&self.subsets);
            for &subset in subsets {
                for &seed in seeds {
                    let recipe = self.recipe_of(row, directory, subset, seed)?;
                    let share = if subset < 1.0 {
                        format!("-subset{}", percent(subset))
                    } else {
                        String::new()
                    };
                    let name = format!("{}{share}-seed{seed}", slug(&row.name));
                    if !known.insert(name.clone()) {
                        let reason = format!("two runs would be called `{name}`");
                        return Err(Error::config("row.name", reason));
                    }
                    let row = row.name.clone();
                    trials.push(Trial { row, subset, seed, recipe, directory: name });
                }
            }
        }
        if trials.is_empty() {
            return Err(Error::config("row", "there is nothing to run"));
        }
        Ok(trials)
    }

    fn recipe_of(&self, row: &RowPlan, directory: &Path, subset: f64, seed: u64) -> Result<Recipe> {
        let mut overrides: Vec<Override> = self
            .set
            .iter()
            .chain(&row.set)
            .map(|text| parse_override(text))
            .collect::<Result<_>>()?;
        let seed = i64::try_from(seed)
            .map_err(|_| Error::config("seeds", format!("{seed} is beyond 2⁶³")))?;
        overrides.push(("seed".into(), Value::Integer(seed)));
        overrides.push(("data.subset".into(), Value::Float(subset)));
        let recipe = match row.recipe.as_ref().or(self.recipe.as_ref()) {
            Some(path) => Recipe::load(&directory.join(path), &overrides)?,
            None => Recipe::parse(DEFAULTS, Path::new("defaults"), &overrides)?,
        };
        // Mistakes in the model are found without its images: any size will do.
        recipe
            .network(3, [32, 32], 10)
            .map_err(|error| Error::config(format!("row `{}`", row.name), error.to_string()))?;
        recipe.resolved()
    }
}

/// A share in per cent, without the noise of its last bits.
pub(super) fn percent(share: f64) -> String {
    let rounded = (share * 1e8).round() / 1e6;
    format!("{rounded}")
}

/// A name that every file system takes.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-._".contains(c) { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    // A leading dot would hide it.
    match name.strip_prefix('.') {
        Some(rest) => format!("-{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_subsets_and_seeds_multiply_and_settings_reach_the_recipes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        std::fs::write(
            folder.path().join("base.toml"),
            "recipe_version = 1\n[training]\nepochs = 3\n",
        )
        .unwrap();
        let text = "experiment_version = 1\ntitle = \"t\"\nrecipe = \"base.toml\"\n\
                    set = [\"optimizer.learning_rate=0.3\"]\nseeds = [0, 4]\nsubsets = [0.05, 1.0]\n\
                    [[row]]\nname = \"a b\"\n[[row]]\nname = \"c\"\n\
                    set = [\"model.name=resnet-32\", \"training.epochs=5\"]\nseeds = [7]\n";
        std::fs::write(&path, text).unwrap();
        let trials = Plan::load(&path).unwrap().trials(folder.path()).unwrap();
        let names: Vec<&str> = trials.iter().map(|trial| trial.directory.as_str()).collect();
        assert_eq!(
            names,
            [
                "a-b-subset5-seed0",
                "a-b-subset5-seed4",
                "a-b-seed0",
                "a-b-seed4",
                "c-subset5-seed7",
                "c-seed7"
            ]
        );
        assert_eq!((trials[1].recipe.seed, trials[1].recipe.data.subset), (4, 0.05));
        let epochs: Vec<usize> = trials.iter().map(|trial| trial.recipe.training.epochs).collect();
        assert_eq!(epochs, [3, 3, 3, 3, 5, 5]);
        assert!(trials.iter().all(|trial| trial.recipe.optimizer.learning_rate == 0.3));
        assert_eq!(trials[5].recipe.model.name, "resnet-32");

        let refused = |text: String| {
            std::fs::write(&path, text).unwrap();
            Plan::load(&path).unwrap().trials(folder.path()).unwrap_err().to_string()
        };
        let error = refused(text.replace("\"c\"", "\"a b\""));
        assert!(error.contains("two rows are called `a b`"), "{error}");
        let error = refused(text.replace("\"c\"", "\"a:b\"").replace("[7]", "[0]"));
        assert!(error.contains("`a-b-subset5-seed0`"), "{error}");
        let error = refused(text.replace("training.epochs=5", "model.widths=[8, 4, 4]"));
        assert!(error.contains("row `c`") && error.contains("never fall"), "{error}");
        std::fs::write(&path, text.replace("seeds = [0", "sed = [0")).unwrap();
        assert!(Plan::load(&path).unwrap_err().to_string().contains("sed"));
    }
}
