//! A run that is to go on.

use super::checkpoint::{self, Found};
use super::directory::RunDirectory;
use super::identity::Fields;
use super::lock::Lock;
use super::observer::Observer;
use super::outcome::Outcome;
use crate::error::{Error, Result};
use crate::recipe::Settings;
use palinode_kernels::Isa;
use std::path::Path;

/// The directory of a run that is to go on, locked, and what was found in it.
pub(super) struct Resumed {
    pub directory: RunDirectory,
    pub lock: Lock,
    /// What a user should know about the lock.
    remark: Option<String>,
    pub found: Option<Found>,
    /// The result, where the run was finished.
    pub finished: Option<Outcome>,
}

impl Resumed {
    /// Opens and locks the run in `path`.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where it holds no run or another process uses it;
    /// [`palinode::Error::Format`] where neither of its last two checkpoints can be read, or where it has
    /// results but no checkpoint.
    pub fn open(path: &Path) -> Result<Self> {
        let directory = RunDirectory::open(path)?;
        let (lock, remark) = directory.lock()?;
        let found = checkpoint::find(&directory)?;
        let finished = Outcome::load(&directory)?;
        if found.is_none() && directory.metrics().is_file() {
            let reason = "there is no checkpoint to go on from";
            return Err(Error::format(directory.checkpoint(), reason));
        }
        Ok(Self { directory, lock, remark, found, finished })
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
    /// epochs cannot be changed.
    pub fn check(
        &self,
        fields: &Fields,
        settings: &Settings,
        extend: bool,
    ) -> Result<Option<Outcome>> {
        let epochs = settings.training.epochs;
        let Some(Found { checkpoint, .. }) = &self.found else {
            return Ok(self.finished.clone());
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

    /// Says what a user should know.
    pub fn say(&self, observer: &mut dyn Observer) {
        self.remark.iter().for_each(|remark| observer.remark(remark));
        if let Some(damage) = self.found.as_ref().and_then(|found| found.damage.as_ref()) {
            observer.remark(&format!("{damage}; the run goes on from the checkpoint before it"));
        }
    }
}
