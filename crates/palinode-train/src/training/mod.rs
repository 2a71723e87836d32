//! Training: recipes, the loop, checkpoints, metrics, the report page.

mod average;
mod checkpoint;
mod directory;
mod evaluate;
mod events;
mod images;
mod metrics;
mod observer;
mod optimizer;
mod outcome;
mod rebuild;
mod recipe;
mod report;
mod run;
mod schedule;
mod step;

pub use average::Average;
pub use checkpoint::{Best, Position};
pub use directory::RunDirectory;
pub use evaluate::{EVALUATION_BATCH, Evaluation, cross_entropy, evaluate, smoothed_cross_entropy};
pub use metrics::{Row, read as read_rows};
pub use observer::{Observer, Progress};
pub use optimizer::Sgd;
pub use outcome::Outcome;
pub use rebuild::rebuild_report;
pub use recipe::{
    DataRecipe, Decayed, ModelRecipe, OptimizerRecipe, Override, QUICK_START, RECIPE_VERSION,
    Recipe, StemRecipe, TEMPLATE, TrainingRecipe, Value, parse_override,
};
pub(crate) use report::{curves, document, escape, section, thousands};
pub use run::{resume, train};
pub use schedule::{Kind, Schedule};
pub use step::{Step, Stepped, train_step};
