//! Training: recipes, the loop, checkpoints, metrics, the report page.

mod checkpoint;
mod directory;
mod evaluate;
mod metrics;
mod observer;
mod optimizer;
mod recipe;
mod report;
mod run;
mod schedule;
mod step;

pub use checkpoint::{Best, Position};
pub use directory::RunDirectory;
pub use evaluate::{EVALUATION_BATCH, Evaluation, cross_entropy, evaluate};
pub use metrics::Row;
pub use observer::{Observer, Progress};
pub use optimizer::Sgd;
pub use recipe::{
    DataRecipe, Decayed, ModelRecipe, OptimizerRecipe, Override, QUICK_START, RECIPE_VERSION,
    Recipe, StemRecipe, TEMPLATE, TrainingRecipe, Value, parse_override,
};
pub use run::{Outcome, resume, train};
pub use schedule::{Kind, Schedule};
pub use step::{Stepped, train_step};
