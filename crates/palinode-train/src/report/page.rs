//! The page of a run.

use super::confusion::Confusion;
use super::curves::separate_curves;
use super::html::render;
use super::mistakes::{Mistake, mistakes};
use super::numbers::{duration, megabytes, or_dash, percent, thousands};
use crate::data::Dataset;
use crate::error::Result;
use crate::recipe::Recipe;
use crate::train::{Best, Evaluation, Outcome, Row};
use askama::Template;
use palinode::network::{NetworkConfig, ParameterCount};

/// Heads of the table of epochs.
pub(crate) const EPOCH_COLUMNS: [&str; 8] =
    ["epoch", "split", "loss", "accuracy", "learning rate", "seconds", "images/s", "peak MB"];

/// What the page of a run shows.
pub struct Report<'a> {
    /// The run's result.
    pub outcome: &'a Outcome,
    /// The resolved recipe.
    pub recipe: &'a Recipe,
    /// The network.
    pub config: &'a NetworkConfig,
    /// Its trainable parameters.
    pub parameters: ParameterCount,
    /// All lines of `metrics.csv`.
    pub rows: &'a [Row],
    /// The best validation.
    pub best: Option<Best>,
    /// The test images and what the network says about them, where they were read.
    pub tested: Option<(&'a Dataset, &'a Evaluation)>,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    /// The most important numbers and their names.
    figures: Vec<(&'static str, String)>,
    note: &'static str,
    charts: Vec<String>,
    tested: Option<Tested>,
    parameters: Vec<[String; 2]>,
    epochs: Vec<[String; EPOCH_COLUMNS.len()]>,
    recipe: String,
}

struct Tested {
    confusion: Confusion,
    mistakes: Vec<Mistake>,
}

impl Tested {
    fn new((test, evaluation): (&Dataset, &Evaluation)) -> Result<Self> {
        let confusion = Confusion::new(test, evaluation);
        Ok(Self { confusion, mistakes: mistakes(test, evaluation)? })
    }
}

impl Report<'_> {
    /// The page as HTML that needs no other file.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) where a part cannot be drawn or encoded.
    pub fn to_html(&self) -> Result<String> {
        let page = Page {
            title: format!("{} on {}", self.config.model, self.recipe.data.name.name()),
            figures: self.figures(),
            note: match self.tested {
                Some(_) => {
                    "The test split was read once, at the end, with the weights of the best \
                     validation. It chose nothing."
                }
                None => "The test split was not read.",
            },
            charts: separate_curves(self.rows)?,
            tested: self.tested.map(Tested::new).transpose()?,
            parameters: self.parameters(),
            epochs: self.rows.iter().map(epoch).collect(),
            recipe: self.recipe.to_toml()?,
        };
        render(&page, "report.html")
    }

    fn figures(&self) -> Vec<(&'static str, String)> {
        let Self { outcome, config, .. } = self;
        let mode = self.recipe.training.mode.unwrap_or_else(|| config.usual_mode());
        let blocks: Vec<String> =
            config.blocks_per_unit().iter().map(ToString::to_string).collect();
        let validation = or_dash(self.best, |best| match best.accuracy {
            Some(accuracy) => format!("{} (epoch {})", percent(accuracy), best.epoch),
            None => "none held out".to_owned(),
        });
        vec![
            ("Test accuracy", or_dash(outcome.test_accuracy, percent)),
            ("Test loss", or_dash(outcome.test_loss, |loss| format!("{loss:.4}"))),
            ("Best validation", validation),
            ("Parameters", thousands(self.parameters.total)),
            ("Blocks", blocks.join("-")),
            ("Differentiation", mode.name().to_owned()),
            ("Time", or_dash(outcome.seconds, duration)),
            (
                "Training speed",
                or_dash(outcome.images_per_second, |rate| format!("{rate:.0} images/s")),
            ),
            ("Peak memory", or_dash(outcome.peak_bytes, megabytes)),
        ]
    }

    fn parameters(&self) -> Vec<[String; 2]> {
        let parts = self.parameters.parts.iter();
        let mut rows: Vec<[String; 2]> =
            parts.map(|(part, count)| [part.clone(), thousands(*count)]).collect();
        rows.push(["total".to_owned(), thousands(self.parameters.total)]);
        rows
    }
}

/// What stands under [`EPOCH_COLUMNS`].
fn epoch(row: &Row) -> [String; EPOCH_COLUMNS.len()] {
    [
        row.epoch.to_string(),
        row.split.clone(),
        format!("{:.4}", row.loss),
        percent(row.accuracy),
        format!("{:.2e}", row.learning_rate),
        format!("{:.1}", row.seconds),
        format!("{:.0}", row.images_per_second),
        format!("{:.0}", row.peak_bytes as f64 / 1e6),
    ]
}
