//! Checkpoints: the state of a run between two steps, in one file.
//!
//! A checkpoint is a safetensors file. Its arrays are `weights.…`, `average.…` and `optimizer.…`, each
//! followed by the parameter's name; its metadata hold the version of this format, the network's
//! description, and the [`Position`].

use super::average::Average;
use super::metrics::Row;
use super::optimizer::NetworkOptimizer;
use super::training_data::Checksums;
use crate::error::{Error, Result};
use burn::tensor::Device;
use palinode::network::weights::{Arrays, collect, replace};
use palinode::network::{Network, load_arrays, save_arrays};
use palinode::residual::Residual;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the format that this program reads and writes. (Version 1 had no number.)
const VERSION: u32 = 2;

/// Keys of the metadata.
const VERSION_KEY: &str = "palinode.checkpoint";
const IDENTITY_KEY: &str = "palinode.identity";
const POSITION_KEY: &str = "palinode.position";

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
    /// Wall time so far, before and after interruptions.
    pub seconds: f64,
    /// Wall time of the current epoch so far.
    pub epoch_seconds: f64,
    /// Lines of `metrics.csv` so far.
    pub rows: Vec<Row>,
    /// Checksums of the images. A run goes on with the same images only.
    pub(super) data: Checksums,
}

impl Position {
    /// The beginning of the epoch after `finished` ones, the last of which added `rows`.
    pub(super) fn begin_epoch(&mut self, finished: usize, mut rows: Vec<Row>) {
        self.rows.append(&mut rows);
        (self.epoch, self.step, self.loss_sum) = (finished, 0, 0.0);
        (self.correct, self.seen, self.epoch_seconds) = (0, 0, 0.0);
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

/// What a checkpoint's network is, for comparison with the one that is to continue.
#[derive(PartialEq, Serialize, Deserialize)]
struct Identity {
    /// The residual's type, without its path.
    residual: String,
    optimizer: String,
    /// The network's description.
    network: Value,
}

impl Identity {
    fn of<R: Residual>(network: &Network<R>, optimizer: &NetworkOptimizer) -> Result<Self> {
        let described = serde_json::to_value(network.config())
            .map_err(|error| Error::config("model", error.to_string()))?;
        Ok(Self {
            residual: residual_name::<R>(),
            optimizer: optimizer.name().name().to_owned(),
            network: described,
        })
    }

    /// The first difference: what, in the checkpoint, here.
    fn difference(&self, here: &Self) -> Option<(String, String, String)> {
        let texts = [("residual", &self.residual, &here.residual)];
        let optimizer = [("optimizer", &self.optimizer, &here.optimizer)];
        for (what, there, here) in texts.into_iter().chain(optimizer) {
            if there != here {
                return Some((what.to_owned(), there.clone(), here.clone()));
            }
        }
        let fields =
            |value: &Value| value.as_object().cloned().unwrap_or_else(serde_json::Map::new);
        let (there, here) = (fields(&self.network), fields(&here.network));
        let names = there.keys().chain(here.keys());
        let text = |value: Option<&Value>| value.map_or("unset".to_owned(), Value::to_string);
        names
            .map(|name| (name, there.get(name), here.get(name)))
            .find(|(_, there, here)| there != here)
            .map(|(name, there, here)| (name.clone(), text(there), text(here)))
    }
}

/// The name of a residual's type, without its path.
pub(super) fn residual_name<R: Residual>() -> String {
    let path = std::any::type_name::<R>();
    let (plain, _) = path.split_once('<').unwrap_or((path, ""));
    plain.rsplit("::").next().unwrap_or(plain).to_owned()
}

/// Writes a checkpoint, atomically.
///
/// # Errors
/// [`palinode::Error::Io`] naming the path.
pub(super) fn save<R: Residual>(
    path: &Path,
    position: &Position,
    network: &Network<R>,
    average: Option<&Average>,
    optimizer: &NetworkOptimizer,
) -> Result<()> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| Error::format(path, error.to_string()))
    };
    let identity = Identity::of(network, optimizer)?;
    let metadata = BTreeMap::from([
        (VERSION_KEY.to_owned(), VERSION.to_string()),
        (IDENTITY_KEY.to_owned(), json(serde_json::to_string(&identity))?),
        (POSITION_KEY.to_owned(), json(serde_json::to_string(position))?),
    ]);
    let mut arrays = prefixed("weights", collect(network));
    if let Some(average) = average {
        arrays.append(&mut prefixed("average", average.arrays().clone()));
    }
    arrays.append(&mut prefixed("optimizer", optimizer.state()?));
    save_arrays(path, &arrays, &metadata)?;
    Ok(())
}

/// Reads what [`save`] wrote into a network and an optimiser of the same kind.
///
/// # Errors
/// [`palinode::Error::Io`]; [`palinode::Error::Format`] for a file that is broken, of another version of the format, or of
/// another network or optimiser.
pub(super) fn load<R: Residual>(
    path: &Path,
    network: Network<R>,
    average: Option<&mut Average>,
    optimizer: &mut NetworkOptimizer,
    device: &Device,
) -> Result<(Position, Network<R>)> {
    let (mut arrays, metadata) = load_arrays(path)?;
    let version = metadata.get(VERSION_KEY).map_or("1", String::as_str);
    if version != VERSION.to_string() {
        let reason = format!(
            "a checkpoint of version {version}; this program reads version {VERSION}. Finish the run with \
             the program that began it, or begin anew"
        );
        return Err(Error::format(path, reason));
    }
    let identity: Identity = described(path, &metadata, IDENTITY_KEY)?;
    if let Some((what, there, here)) = identity.difference(&Identity::of(&network, optimizer)?) {
        let reason = format!("`{what}` is {there} in the checkpoint and {here} in this run");
        return Err(Error::format(path, reason));
    }
    let position: Position = described(path, &metadata, POSITION_KEY)?;
    let misfit = |error: palinode::Error| Error::format(path, error.to_string());
    let network = replace(network, &take("weights", &mut arrays)).map_err(misfit)?;
    let averages = take("average", &mut arrays);
    match average {
        Some(average) => {
            average.restore(averages, position.total_steps, &network).map_err(misfit)?;
        }
        None if averages.is_empty() => (),
        None => {
            return Err(Error::format(
                path,
                "holds an average of the weights, but this run keeps none",
            ));
        }
    }
    optimizer
        .restore(&take("optimizer", &mut arrays), position.total_steps, device)
        .map_err(|error| Error::format(path, error.to_string()))?;
    match arrays.keys().next() {
        Some(name) => Err(Error::format(path, format!("array `{name}` has no place in this run"))),
        None => Ok((position, network)),
    }
}

/// The JSON value of a key of the metadata.
fn described<T: DeserializeOwned>(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    key: &str,
) -> Result<T> {
    let text = metadata
        .get(key)
        .ok_or_else(|| Error::format(path, format!("metadata `{key}` is missing")))?;
    serde_json::from_str(text).map_err(|error| Error::format(path, format!("`{key}`: {error}")))
}

fn prefixed(prefix: &str, arrays: Arrays) -> Arrays {
    arrays.into_iter().map(|(name, array)| (format!("{prefix}.{name}"), array)).collect()
}

/// Takes the arrays out whose names begin with `prefix.`, and removes this from their names.
fn take(prefix: &str, arrays: &mut Arrays) -> Arrays {
    let begins = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
    let taken = arrays.extract_if(.., |name, _| begins(name));
    taken.map(|(name, array)| (name[prefix.len() + 1..].to_owned(), array)).collect()
}
