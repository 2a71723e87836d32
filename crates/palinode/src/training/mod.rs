//! Training: recipes, the loop, checkpoints, metrics, the report page.

mod checkpoint;
mod directory;
mod evaluate;
mod metrics;
mod optimizer;
mod recipe;
mod report;
mod run;
mod schedule;

pub use checkpoint::{Best, ExactF64, Position};
pub use directory::RunDirectory;
pub use evaluate::{EVALUATION_BATCH, Evaluation, cross_entropy, evaluate};
pub use metrics::{Row, read as read_metrics};
pub use optimizer::Sgd;
pub use recipe::{
    DataRecipe, Decayed, ModelRecipe, OptimizerRecipe, QUICK_START, RECIPE_VERSION, Recipe,
    TEMPLATE, TrainingRecipe,
};
pub use run::{Observer, Outcome, Progress, resume, train, train_step};
pub use schedule::{Kind, Schedule};
