//! What comes of a run.

use super::directory::RunDirectory;
use crate::error::{Error, Result};
use palinode::file::read;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run directory.
    pub run: PathBuf,
    /// Epochs that were run.
    pub epochs: usize,
    /// Trainable parameters.
    #[serde(default)]
    pub parameters: usize,
    /// The highest validation accuracy, in 0…1.
    #[serde(default)]
    pub validation_accuracy: Option<f64>,
    /// Accuracy of the best-validation weights on the test part, in 0…1.
    pub test_accuracy: Option<f64>,
    /// Their mean cross-entropy.
    pub test_loss: Option<f64>,
    /// Wall time of all training and validation.
    pub seconds: Option<f64>,
    /// Training images per second.
    pub images_per_second: Option<f64>,
    /// Peak of the live bytes.
    pub peak_bytes: Option<u64>,
}

impl Outcome {
    /// The result of the run in `directory`; `None` where it is not finished.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] where there is one that cannot be read.
    pub fn load(directory: &RunDirectory) -> Result<Option<Self>> {
        let path = directory.result();
        if !path.is_file() {
            return Ok(None);
        }
        let outcome = serde_json::from_slice(&read(&path)?)
            .map_err(|error| Error::format(&path, error.to_string()))?;
        Ok(Some(Self { run: directory.path().to_owned(), ..outcome }))
    }
}
