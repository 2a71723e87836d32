//! The page of a run.

use super::confusion::Confusion;
use super::curves::separate_curves;
use super::html::render;
use super::mistakes::{Mistake, mistakes};
use super::numbers::{duration, loss, megabytes, or_dash, percent, thousands};
use crate::data::ImageSource;
use crate::error::Result;
use crate::train::{Best, Evaluation, Outcome, Row};
use askama::Template;
use palinode::network::{Modes, Network, ParameterCount, count};
use palinode::residual::Residual;

/// Heads of the table of epochs.
pub(crate) const EPOCH_COLUMNS: [&str; 9] = [
    "epoch",
    "split",
    "loss",
    "accuracy",
    "learning rate",
    "seconds",
    "images/s",
    "peak MB",
    "drift",
];

/// What the page of a run shows.
pub struct Report<'a, R: Residual> {
    /// Its heading.
    pub title: &'a str,
    /// The run's result.
    pub outcome: &'a Outcome,
    /// The content of `config.toml`.
    pub config: &'a str,
    /// How the units were differentiated.
    pub modes: &'a Modes,
    /// The network with the weights of the best validation.
    pub network: &'a Network<R>,
    /// All lines of `metrics.csv`.
    pub rows: &'a [Row],
    /// The best validation.
    pub best: Option<Best>,
    /// The test images and what the network says about them, where they were read.
    pub tested: Option<(&'a dyn ImageSource, &'a Evaluation)>,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    /// The most important numbers and their names.
    figures: Vec<(&'static str, String)>,
    note: String,
    remarks: &'a [String],
    charts: Vec<String>,
    tested: Option<Tested>,
    parameters: Vec<[String; 2]>,
    epochs: Vec<[String; EPOCH_COLUMNS.len()]>,
    config: &'a str,
}

struct Tested {
    confusion: Confusion,
    mistakes: Vec<Mistake>,
}

impl Tested {
    fn new((test, evaluation): (&dyn ImageSource, &Evaluation)) -> Result<Self> {
        let confusion = Confusion::new(test, evaluation);
        Ok(Self { confusion, mistakes: mistakes(test, evaluation)? })
    }
}

impl<R: Residual> Report<'_, R> {
    /// The page as HTML that needs no other file.
    ///
    /// # Errors
    /// [`palinode::Error::Format`] where a part cannot be drawn or encoded.
    pub fn to_html(&self) -> Result<String> {
        let counted = count(self.network);
        let page = Page {
            title: self.title,
            figures: self.figures(&counted),
            note: self.note(),
            remarks: &self.outcome.remarks,
            charts: separate_curves(self.rows)?,
            tested: self.tested.map(Tested::new).transpose()?,
            parameters: parameters(&counted),
            epochs: self.rows.iter().map(epoch).collect(),
            config: self.config,
        };
        render(&page, "report.html")
    }

    /// What was done with the test split.
    fn note(&self) -> String {
        let outcome = self.outcome;
        if self.tested.is_none() {
            return match outcome.test_accuracy {
                None => "The test split was not read.".to_owned(),
                Some(_) => {
                    "The test images could not be read when this page was written again, so it \
                            shows no single predictions. The test accuracy is that of the run."
                        .to_owned()
                }
            };
        }
        let weights = match outcome.validation_accuracy {
            Some(_) => "the weights of the best validation",
            None => "the weights of the last epoch, because no image was held out for validation",
        };
        let before: Vec<String> = outcome.tested_after.iter().map(usize::to_string).collect();
        let read = match before.as_slice() {
            [] => format!("once, at the end, with {weights}"),
            _ => format!(
                "{} times, after epoch {} and at the end, because the run was trained on after it had \
                 finished. Each time it was read with {weights}",
                before.len() + 1,
                before.join(", after epoch ")
            ),
        };
        format!("The test split was read {read}. Nothing was selected on it.")
    }

    fn figures(&self, counted: &ParameterCount) -> Vec<(&'static str, String)> {
        let outcome = self.outcome;
        let blocks = self.network.config().blocks_per_unit();
        let blocks: Vec<String> = blocks.iter().map(usize::to_string).collect();
        let validation = or_dash(self.best, |best| match best.accuracy {
            Some(accuracy) => format!("{} (epoch {})", percent(accuracy), best.epoch),
            None => "none held out".to_owned(),
        });
        vec![
            ("Test accuracy", or_dash(outcome.test_accuracy, percent)),
            ("Test loss", or_dash(outcome.test_loss, loss)),
            ("Best validation", validation),
            ("Parameters", thousands(counted.total)),
            ("Blocks", blocks.join("-")),
            ("Differentiation", self.modes.to_string()),
            ("Time", or_dash(outcome.seconds, duration)),
            (
                "Training speed",
                or_dash(outcome.images_per_second, |rate| format!("{rate:.0} images/s")),
            ),
            ("Peak memory", or_dash(outcome.peak_bytes, megabytes)),
        ]
    }
}

/// Parts of the network and their parameters, the total last.
fn parameters(counted: &ParameterCount) -> Vec<[String; 2]> {
    let parts = counted.parts.iter().map(|(part, count)| [part.clone(), thousands(*count)]);
    parts.chain([["total".to_owned(), thousands(counted.total)]]).collect()
}

/// What stands under [`EPOCH_COLUMNS`].
fn epoch(row: &Row) -> [String; EPOCH_COLUMNS.len()] {
    [
        row.epoch.to_string(),
        row.split.clone(),
        loss(row.loss),
        percent(row.accuracy),
        format!("{:.2e}", row.learning_rate),
        format!("{:.1}", row.seconds),
        format!("{:.0}", row.images_per_second),
        or_dash(row.peak_bytes, |bytes| format!("{:.0}", bytes as f64 / 1e6)),
        or_dash(row.drift.largest(), |drift| match drift {
            0.0 => "0".to_owned(),
            drift => format!("{drift:.0e}"),
        }),
    ]
}
