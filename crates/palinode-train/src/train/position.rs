//! Where a run stands.

use super::metrics::Row;
use super::training_data::Checksums;
use serde::{Deserialize, Serialize};

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Position {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished optimiser steps of the current epoch.
    pub step: usize,
    /// Optimiser steps of the whole run so far.
    pub total_steps: u64,
    /// Sum over the current epoch's images of their loss.
    pub loss_sum: f64,
    /// Images of the current epoch that were classified correctly.
    pub correct: usize,
    /// Images seen in the current epoch.
    pub seen: usize,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Checksum of the file with its weights.
    pub(super) best_file: Option<u32>,
    /// Wall time so far, before and after interruptions.
    pub seconds: f64,
    /// Wall time of the current epoch so far.
    pub epoch_seconds: f64,
    /// Lines of `metrics.csv` so far.
    pub rows: Vec<Row>,
    /// Binary places of the grids that the units' states lie on.
    #[serde(default)]
    pub(super) grids: Vec<Option<i32>>,
    /// In how many parts the units are kept.
    #[serde(default)]
    pub(super) parts: Vec<usize>,
    /// The largest drift of each unit in the current epoch.
    #[serde(default)]
    pub drifts: Vec<f64>,
    /// Checksums of the images. A run goes on with the same images only.
    pub(super) data: Checksums,
    /// Epochs after which the run had been finished and tested before it was trained on.
    pub tested_after: Vec<usize>,
}

impl Position {
    /// Checksum of the images for training and validation.
    pub(crate) fn training_checksum(&self) -> u32 {
        self.data.training
    }

    /// The beginning of the epoch after `finished` ones, the last of which added `rows`.
    pub(super) fn begin_epoch(&mut self, finished: usize, mut rows: Vec<Row>) {
        self.rows.append(&mut rows);
        (self.epoch, self.step, self.loss_sum) = (finished, 0, 0.0);
        (self.correct, self.seen, self.epoch_seconds) = (0, 0, 0.0);
        self.drifts.clear();
    }
}

/// The epoch with the highest validation accuracy, the first of several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// From 1.
    pub epoch: usize,
    /// In 0…1; `None` where nothing was held out and the last epoch counts as the best.
    pub accuracy: Option<f64>,
}

impl Best {
    /// The best epoch of a finished run.
    pub(super) fn of(rows: &[Row]) -> Option<Self> {
        let mut validations = rows.iter().filter(|row| row.split == "validation");
        let first = validations.next();
        let best = first.map(|first| {
            validations
                .fold(first, |best, row| if row.accuracy > best.accuracy { row } else { best })
        });
        match best {
            Some(row) => Some(Self { epoch: row.epoch, accuracy: Some(row.accuracy) }),
            None => rows.last().map(|row| Self { epoch: row.epoch, accuracy: None }),
        }
    }
}
