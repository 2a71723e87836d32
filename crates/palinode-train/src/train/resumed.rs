//! A run that is to go on.

use super::checkpoint::{self, Checkpoint, Found};
use super::directory::RunDirectory;
use super::identity::Fields;
use super::lock::Lock;
use super::machine::Machine;
use super::observer::Observer;
use super::outcome::Outcome;
use crate::error::{Error, Result};
use crate::recipe::Settings;
use palinode::file::read;
use palinode_kernels::Isa;
use std::path::Path;

/// The directory of a run that is to go on, locked, and what was found in it.
pub(super) struct Resumed {
    pub directory: RunDirectory,
    /// Held by the first rank.
    pub lock: Option<Lock>,
    /// What a user should know about the lock.
    remark: Option<String>,
    pub found: Option<Found>,
    /// Whether it has figures of finished epochs.
    has_metrics: bool,
    /// Why the checkpoint of a finished run cannot be read. That does not matter where only its result is asked
    /// for.
    unreadable: Option<Error>,
    /// The result, where the run was finished.
    pub finished: Option<Outcome>,
}

impl Resumed {
    /// Opens and locks the run in `path`. Only the first rank does, and tells the others what it found: they need not have
    /// the directory. Returns the run's `config.toml` too.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where it holds no run or another process uses it;
    /// [`palinode::Error::Format`] where it is not finished and neither of its last two checkpoints can be read.
    pub fn open(path: &Path, machine: &Machine) -> Result<(Self, String)> {
        let wrong = |error: serde_json::Error| Error::format(path, error.to_string());
        let mut here = None;
        let sent = machine.of_first(|| {
            let found = Self::here(path)?;
            let checkpoint = found.found.as_ref().map(|found| found.checkpoint.path());
            let config = found.directory.config();
            let bytes = |path: &Path| Ok::<_, Error>(read(path)?);
            let files = [
                Some(bytes(&config)?),
                // Alone, nobody else needs it.
                checkpoint.filter(|_| machine.group.is_some()).map(bytes).transpose()?,
                found.finished.as_ref().map(serde_json::to_vec).transpose().map_err(wrong)?,
                found.has_metrics.then(Vec::new),
            ];
            here = Some(found);
            Ok(pack(&files))
        })?;
        let [config, checkpoint, finished, metrics] = unpack(&sent);
        let file = path.join("config.toml");
        let config =
            config.ok_or_else(|| Error::format(&file, "the first rank has not sent it"))?;
        let config =
            String::from_utf8(config).map_err(|error| Error::format(&file, error.to_string()))?;
        if let Some(here) = here {
            return Ok((here, config));
        }
        let directory = RunDirectory::at(path);
        let found = checkpoint
            .map(|bytes| Checkpoint::from_bytes(&bytes, &directory.checkpoint()))
            .transpose()?
            .map(|checkpoint| Found { checkpoint, damage: None });
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(wrong);
        let finished = finished.map(read).transpose()?;
        let resumed = Self {
            directory,
            lock: None,
            remark: None,
            found,
            has_metrics: metrics.is_some(),
            unreadable: None,
            finished,
        };
        Ok((resumed, config))
    }

    /// The run in `path`, opened and locked.
    fn here(path: &Path) -> Result<Self> {
        let directory = RunDirectory::open(path)?;
        let (lock, remark) = directory.lock()?;
        let finished = Outcome::load(&directory)?;
        let (found, unreadable) = match checkpoint::find(&directory) {
            Ok(found) => (found, None),
            Err(error) if finished.is_some() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        let has_metrics = directory.metrics().is_file();
        let lock = Some(lock);
        Ok(Self { directory, lock, remark, found, has_metrics, unreadable, finished })
    }

    /// The instruction set that the run computes with.
    pub fn isa(&self) -> Result<Option<Isa>> {
        let settings = self.found.as_ref().map(|found| found.checkpoint.identity.settings());
        let name = settings.and_then(|settings| settings.get("training.isa"));
        let parsed = name.map(|name| name.parse::<Isa>()).transpose();
        parsed.map_err(|error| Error::config("training.isa", error.to_string()))
    }

    /// Checks that the run can go on with these settings. Where it is finished and nothing is left to do,
    /// its result is returned.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] naming the first setting that differs; with `extend`, where the number of
    /// epochs cannot be changed; [`palinode::Error::Format`] where there is no checkpoint to go on from.
    pub fn check(
        &mut self,
        fields: &Fields,
        settings: &Settings,
        extend: bool,
    ) -> Result<Option<Outcome>> {
        let epochs = settings.training.epochs;
        let Some(Found { checkpoint, .. }) = &self.found else {
            return self.without_checkpoint(epochs);
        };
        checkpoint.identity.check_settings(fields)?;
        if extend {
            let began = checkpoint.identity.epochs;
            if began != epochs && !settings.schedule.is_open_ended() {
                let reason = format!(
                    "{began} so far: its schedule `{}` spreads over all epochs, so with {epochs} \
                     every step so far would have had another learning rate. Runs with `constant` and \
                     `steps` can be trained on",
                    settings.schedule.kind.name()
                );
                return Err(Error::config("training.epochs", reason));
            }
            let position = &checkpoint.position;
            let begun = position.epoch + usize::from(position.step > 0);
            if epochs < begun {
                let reason = format!("{epochs}, but the run is in its epoch {begun} already");
                return Err(Error::config("training.epochs", reason));
            }
        } else {
            checkpoint.identity.check_epochs(epochs)?;
        }
        let reached = checkpoint.position.epoch;
        Ok(self.finished.clone().filter(|finished| [finished.epochs, reached] == [epochs; 2]))
    }

    /// What is left of a run without a checkpoint: its result, or nothing at all.
    fn without_checkpoint(&mut self, epochs: usize) -> Result<Option<Outcome>> {
        if let Some(finished) = self.finished.as_ref().filter(|finished| finished.epochs == epochs)
        {
            return Ok(Some(finished.clone()));
        }
        match self.unreadable.take() {
            Some(error) => Err(error),
            None if self.finished.is_some() || self.has_metrics => {
                let reason = "there is no checkpoint to go on from";
                Err(Error::format(self.directory.checkpoint(), reason))
            }
            None => Ok(None),
        }
    }

    /// Says what a user should know.
    pub fn say(&self, observer: &mut dyn Observer) {
        self.remark.iter().for_each(|remark| observer.remark(remark));
        if let Some(damage) = self.found.as_ref().and_then(|found| found.damage.as_ref()) {
            observer.remark(&format!("{damage}; the run goes on from the checkpoint before it"));
        }
    }
}

/// Files, or `None` for one that is missing, one after the other.
fn pack(files: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut packed = Vec::new();
    for file in files {
        let length = file.as_ref().map_or(u64::MAX, |file| file.len() as u64);
        packed.extend(length.to_le_bytes());
        packed.extend(file.iter().flatten());
    }
    packed
}

/// What [`pack`] packed.
fn unpack<const N: usize>(mut packed: &[u8]) -> [Option<Vec<u8>>; N] {
    std::array::from_fn(|_| {
        let (length, rest) = packed.split_first_chunk()?;
        packed = rest;
        let file = packed.split_at_checked(u64::from_le_bytes(*length) as usize);
        file.map(|(file, rest)| {
            packed = rest;
            file.to_vec()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_files_come_back() {
        for files in [
            [Some(vec![1, 2, 3]), None, Some(Vec::new())],
            [None, Some(vec![7; 300]), None],
            [None, None, Some(vec![1])],
        ] {
            assert_eq!(unpack(&pack(&files)), files);
        }
    }
}
