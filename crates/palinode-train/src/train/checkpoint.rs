//! Checkpoints: the state of a run between two steps, in one file.
//!
//! A checkpoint is a safetensors file. Its arrays are `weights.…`, `average.…` and `optimizer.…`, each
//! followed by the parameter's name; its metadata hold the version of this format, what the run is, the
//! [`Position`], and a checksum over the whole file. The last two checkpoints of a run are kept.

use super::average::Average;
use super::checksum::{PLACEHOLDER, seal, verify};
use super::directory::RunDirectory;
use super::identity::Identity;
use super::optimizer::NetworkOptimizer;
use super::position::Position;
use crate::error::{Error, Result};
use burn::tensor::Device;
use palinode::file::{read, write_keeping_previous};
use palinode::network::weights::{Arrays, collect, replace};
use palinode::network::{Network, arrays_from_bytes, arrays_to_bytes};
use palinode::residual::Residual;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of the format that this program reads and writes. (Version 1 had no number, version 2 no
/// checksum and no settings; runs of version 3 did not divide their sums over images; version 4 had other checksums of
/// images.)
const VERSION: u32 = 5;

/// Keys of the metadata.
const VERSION_KEY: &str = "palinode.checkpoint";
const IDENTITY_KEY: &str = "palinode.identity";
const POSITION_KEY: &str = "palinode.position";
const CHECKSUM_KEY: &str = "palinode.checksum";

/// The text in front of the checksum in the file's header.
const CHECKSUM_MARK: &str = "\"palinode.checksum\":\"";

/// A checkpoint that was read.
pub(super) struct Checkpoint {
    path: PathBuf,
    pub identity: Identity,
    pub position: Position,
    arrays: Arrays,
}

/// The checkpoint that a run goes on from.
pub(super) struct Found {
    pub checkpoint: Checkpoint,
    /// What is wrong with the latest one, where this is the one before it.
    pub damage: Option<String>,
}

/// Writes a checkpoint, atomically, and keeps the one before it.
///
/// # Errors
/// [`palinode::Error::Io`] naming the path; [`Error::NonFinite`] where the optimiser's state is not finite.
pub(super) fn save<R: Residual>(
    directory: &RunDirectory,
    identity: &Identity,
    position: &Position,
    network: &Network<R>,
    average: Option<&Average>,
    optimizer: &NetworkOptimizer,
) -> Result<()> {
    let path = directory.checkpoint();
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| Error::format(&path, error.to_string()))
    };
    let metadata = BTreeMap::from([
        (VERSION_KEY.to_owned(), VERSION.to_string()),
        (CHECKSUM_KEY.to_owned(), PLACEHOLDER.to_owned()),
        (IDENTITY_KEY.to_owned(), json(serde_json::to_string(identity))?),
        (POSITION_KEY.to_owned(), json(serde_json::to_string(position))?),
    ]);
    let mut arrays = prefixed("weights", collect(network));
    if let Some(average) = average {
        arrays.append(&mut prefixed("average", average.arrays(network)));
    }
    arrays.append(&mut prefixed("optimizer", optimizer.state()?));
    let infinite = |values: &[f32]| values.iter().any(|value| !value.is_finite());
    if let Some((name, _)) = arrays.iter().find(|(_, array)| infinite(&array.values)) {
        // It could not be resumed.
        return Err(Error::NonFinite { what: "the state of the run", place: name.clone() });
    }
    let mut bytes = arrays_to_bytes(&arrays, &metadata);
    seal(&mut bytes, CHECKSUM_MARK, &path)?;
    write_keeping_previous(&path, &directory.previous_checkpoint(), &bytes)?;
    Ok(())
}

/// The latest checkpoint of a run, or the one before it where the latest is damaged or missing; `None` where
/// there is none yet.
///
/// # Errors
/// [`palinode::Error::Io`] and [`palinode::Error::Format`] where neither can be read.
pub(super) fn find(directory: &RunDirectory) -> Result<Option<Found>> {
    let (latest, previous) = (directory.checkpoint(), directory.previous_checkpoint());
    let first = match (latest.is_file(), previous.is_file()) {
        (false, false) => return Ok(None),
        (false, true) => {
            let checkpoint = Checkpoint::read(&previous)?;
            return Ok(Some(Found { checkpoint, damage: None }));
        }
        (true, _) => Checkpoint::read(&latest),
    };
    match first {
        Ok(checkpoint) => Ok(Some(Found { checkpoint, damage: None })),
        // The disk's errors are not the checkpoint's.
        Err(error @ Error::Library(palinode::Error::Io { .. })) => Err(error),
        Err(error) => match Checkpoint::read(&previous) {
            Ok(checkpoint) => Ok(Some(Found { checkpoint, damage: Some(error.to_string()) })),
            // The latest one is what there should be.
            Err(_) => Err(error),
        },
    }
}

/// Where the run stands that wrote the checkpoint `path`.
///
/// # Errors
/// [`palinode::Error::Io`] and [`palinode::Error::Format`] naming the file.
pub fn read_position(path: &Path) -> Result<Position> {
    Ok(Checkpoint::read(path)?.position)
}

impl Checkpoint {
    /// Reads what [`save`] wrote.
    fn read(path: &Path) -> Result<Self> {
        Self::from_bytes(&read(path)?, path)
    }

    /// The content of a file that was read from `path`.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let (arrays, metadata) = arrays_from_bytes(bytes, path)?;
        let version = metadata.get(VERSION_KEY).map_or("1", String::as_str);
        if version != VERSION.to_string() {
            let reason = format!(
                "a checkpoint of version {version}; this program reads version {VERSION}. Finish the run \
                 with the program that began it, or begin anew"
            );
            return Err(Error::format(path, reason));
        }
        verify(bytes, CHECKSUM_MARK, path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: described(path, &metadata, IDENTITY_KEY)?,
            position: described(path, &metadata, POSITION_KEY)?,
            arrays,
        })
    }

    /// The file that it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings a network, an average and an optimiser of the same kind into the state of the checkpoint.
    ///
    /// # Errors
    /// [`palinode::Error::Format`] where the checkpoint is of another network or optimiser.
    pub fn restore<R: Residual>(
        mut self,
        network: Network<R>,
        average: Option<&mut Average>,
        optimizer: &mut NetworkOptimizer,
        device: &Device,
    ) -> Result<(Position, Network<R>)> {
        let path = &self.path;
        let (arrays, position) = (&mut self.arrays, self.position);
        let misfit = |error: palinode::Error| Error::format(path, error.to_string());
        let network = replace(network, &take("weights", arrays)).map_err(misfit)?;
        let averages = take("average", arrays);
        match average {
            Some(average) => {
                average
                    .restore(&averages, position.total_steps, &network, device)
                    .map_err(misfit)?;
            }
            None if averages.is_empty() => (),
            None => {
                let reason = "holds an average of the weights, but this run keeps none";
                return Err(Error::format(path, reason));
            }
        }
        optimizer
            .restore(&take("optimizer", arrays), position.total_steps, device)
            .map_err(|error| Error::format(path, error.to_string()))?;
        match arrays.keys().next() {
            Some(name) => {
                Err(Error::format(path, format!("array `{name}` has no place in this run")))
            }
            None => Ok((position, network)),
        }
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
