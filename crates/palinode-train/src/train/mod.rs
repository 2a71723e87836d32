//! Training: the loop, optimiser, checkpoints, metrics.

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
mod run;
pub mod smoothness;
mod step;

pub use average::Average;
pub use checkpoint::{Best, Position};
pub use directory::RunDirectory;
pub(crate) use evaluate::most_probable;
pub use evaluate::{EVALUATION_BATCH, Evaluation, cross_entropy, evaluate, smoothed_cross_entropy};
pub use metrics::{Row, read as read_rows};
pub use observer::{Observer, Progress};
pub use optimizer::Sgd;
pub use outcome::Outcome;
pub use rebuild::rebuild_report;
pub use run::{resume, train};
pub use step::{Step, Stepped, train_step};
