//! The state of a run between two steps: all that the next step depends on.

use super::average::Average;
use super::metrics::Row;
use super::optimizer::Sgd;
use crate::error::{Error, Result};
use burn::tensor::Device;
use palinode::network::weights::{Arrays, replace};
use palinode::network::{Network, load_arrays, save_arrays};
use palinode::residual::Residual;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Key of the position in the file's metadata.
const POSITION: &str = "palinode.position";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished steps of the current epoch.
    pub step: usize,
    /// Steps of the whole run so far.
    #[serde(default)]
    pub total_steps: u64,
    /// Sum over the current epoch's images of their loss.
    pub loss_sum: f64,
    /// Images of the current epoch that were classified correctly.
    pub correct: usize,
    /// Images seen in the current epoch.
    pub seen: usize,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Wall time so far, over all sittings.
    pub seconds: f64,
    /// Wall time of the current epoch so far.
    pub epoch_seconds: f64,
    /// Lines of `metrics.csv` so far.
    pub rows: Vec<Row>,
    /// Checksum of the training part, so that a run does not go on with other images.
    pub data: u32,
}

/// The epoch with the highest validation accuracy, the first of them where several are.
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

/// Writes position, weights, averages, velocities and what smoothness remembers in one file,
/// atomically.
///
/// # Errors
/// [`Error::Io`] naming the path.
pub fn save(
    path: &Path,
    position: &Position,
    weights: Arrays,
    average: Option<&Average>,
    optimizer: &Sgd,
) -> Result<()> {
    let json =
        serde_json::to_string(position).map_err(|error| Error::format(path, error.to_string()))?;
    let metadata = BTreeMap::from([(POSITION.to_owned(), json)]);
    let mut arrays = prefixed("weights", weights);
    if let Some(average) = average {
        arrays.append(&mut prefixed("average", average.arrays().clone()));
    }
    arrays.append(&mut prefixed("momentum", optimizer.arrays()));
    arrays.append(&mut prefixed("previous", optimizer.previous_weights()));
    save_arrays(path, &arrays, &metadata)?;
    Ok(())
}

/// Reads what [`save`] wrote into a network and an optimiser of the same shape.
///
/// # Errors
/// [`Error::Io`], or [`Error::Format`] for a file that is broken or another network's.
pub fn load<R: Residual>(
    path: &Path,
    network: Network<R>,
    average: Option<&mut Average>,
    optimizer: &mut Sgd,
    device: &Device,
) -> Result<(Position, Network<R>)> {
    let (arrays, metadata) = load_arrays(path)?;
    let position = metadata
        .get(POSITION)
        .ok_or_else(|| Error::format(path, format!("metadata `{POSITION}` is missing")))?;
    let position: Position = serde_json::from_str(position)
        .map_err(|error| Error::format(path, format!("`{POSITION}`: {error}")))?;
    let misfit = |error: palinode::Error| Error::format(path, error.to_string());
    let network = replace(network, &taken("weights", &arrays)).map_err(misfit)?;
    let (velocity, previous) = (taken("momentum", &arrays), taken("previous", &arrays));
    optimizer.restore(&velocity, &previous, device).map_err(misfit)?;
    if let Some(average) = average {
        let averages = taken("average", &arrays);
        average.restore(averages, position.total_steps, &network).map_err(misfit)?;
    }
    Ok((position, network))
}

fn prefixed(prefix: &str, arrays: Arrays) -> Arrays {
    arrays.into_iter().map(|(name, array)| (format!("{prefix}.{name}"), array)).collect()
}

fn taken(prefix: &str, arrays: &Arrays) -> Arrays {
    let own = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
    arrays.iter().filter_map(|(name, array)| Some((own(name)?, array.clone()))).collect()
}
