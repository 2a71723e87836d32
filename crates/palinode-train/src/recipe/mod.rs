//! Recipes: everything a run depends on, as TOML.

mod document;
mod optimizer;
mod overrides;
mod replaced;
mod resolve;
mod schedule;
mod sections;
mod setters;
mod settings;
mod training;
mod validate;

pub use document::{DEFAULTS, QUICK_START, RECIPE_VERSION, Recipe, TEMPLATE};
pub use optimizer::{Decayed, OptimizerName, OptimizerRecipe, SmoothnessKind, SmoothnessRecipe};
pub use overrides::{Override, parse_override};
pub use schedule::{Kind, Schedule};
pub use sections::{DataRecipe, ModelRecipe, StemRecipe};
pub use settings::Settings;
/// A TOML value.
pub use toml::Value;
pub use training::{HeadStart, OnDrift, TrainingRecipe};
