//! The result of a run.

use super::directory::RunDirectory;
use crate::error::{Error, Result};
use palinode::file::read;
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};

/// The result of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The run directory. In JSON, what is not UTF-8 in it becomes U+FFFD.
    #[serde(serialize_with = "as_text")]
    pub run: PathBuf,
    /// Epochs that were run.
    pub epochs: usize,
    /// Trainable parameters.
    #[serde(default)]
    pub parameters: usize,
    /// The highest validation accuracy, in 0…1.
    #[serde(default)]
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test images with the weights of the best validation, in 0…1.
    pub test_accuracy: Option<f64>,
    /// Mean cross-entropy on the test images.
    pub test_loss: Option<f64>,
    /// Wall time of all training and validation.
    pub seconds: Option<f64>,
    /// Training images per second.
    pub images_per_second: Option<f64>,
    /// Peak of the live bytes; `None` where they are not counted.
    pub peak_bytes: Option<u64>,
    /// What a user should know about the images, such as which files were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Epochs after which the run had been finished and tested before it was trained on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tested_after: Vec<usize>,
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Outcome {
    /// The result of a run of no epochs.
    pub(super) fn untrained(run: &Path, parameters: usize, remarks: Vec<String>) -> Self {
        Self {
            run: run.to_owned(),
            epochs: 0,
            parameters,
            validation_accuracy: None,
            test_accuracy: None,
            test_loss: None,
            seconds: None,
            images_per_second: None,
            peak_bytes: None,
            remarks,
            tested_after: Vec::new(),
        }
    }

    /// The result of the run in `directory`; `None` where it is not finished.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] and [`palinode::Error::Format`] where there is one that cannot be read.
    pub fn load(directory: &RunDirectory) -> Result<Option<Self>> {
        let path = directory.result();
        if !path.is_file() {
            return Ok(None);
        }
        let outcome = serde_json::from_slice(&read(&path)?).map_err(|error| {
            let hint = "without this file, the run is finished again";
            Error::format(&path, format!("{error}; {hint}"))
        })?;
        Ok(Some(Self { run: directory.path().to_owned(), ..outcome }))
    }
}
