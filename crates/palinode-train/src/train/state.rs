//! A run that is under way: all that the next step depends on.

use super::average::Average;
use super::checkpoint::{self, Checkpoint};
use super::directory::RunDirectory;
use super::events::EventLog;
use super::identity::Identity;
use super::lock::Lock;
use super::machine::Machine;
use super::observer::Observer;
use super::optimizer::NetworkOptimizer;
use super::position::Position;
use super::readings::{NotFinite, Readings};
use super::training_data::TrainingData;
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::recipe::Settings;
use burn::tensor::Device;
use palinode::Context;
use palinode::file::{read, write_atomically};
use palinode::network::weights::{Arrays, collect};
use palinode::network::{Network, WeightFile};
use palinode::ranks::{Group, Ranks, Share};
use palinode::residual::Residual;
use palinode::scheme::Grid;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A run between two steps.
pub(super) struct Run<R: Residual> {
    /// Held by the first rank as long as the run is under way.
    pub lock: Option<Lock>,
    /// What it is computed with. The first rank alone writes.
    pub machine: Machine,
    /// Heading of the report.
    pub title: String,
    /// Content of `config.toml`.
    pub config: String,
    pub settings: Settings,
    pub identity: Identity,
    pub directory: RunDirectory,
    pub data: TrainingData,
    pub network: Network<R>,
    pub optimizer: NetworkOptimizer,
    pub average: Option<Average>,
    pub position: Position,
    pub events: EventLog,
    /// Slow ranks that have been named.
    pub slow: BTreeSet<usize>,
}

impl<R: Residual> Run<R> {
    /// The device of the network.
    pub fn device(&self) -> Device {
        self.network.head.weight.val().device()
    }

    /// What a batch of training is computed with: where several ranks share it, with this rank's share.
    ///
    /// # Errors
    /// [`palinode::Error::Kernels`] where there are more ranks than micro-batches.
    pub fn context_for(&self, batch: &Batch) -> Result<Context> {
        let context = self.network.context();
        let Some(group) = self.machine.group.as_ref().filter(|_| batch.is_shared()) else {
            return Ok(context.clone());
        };
        let ranks: Arc<dyn Ranks> = Arc::<Group>::clone(group);
        let share = Share::new(ranks, batch.whole).map_err(palinode::Error::from)?;
        Ok(context.with_share(Some(share)).map_err(palinode::Error::from)?)
    }

    /// On a device with its own memory, the bytes that its pool has reserved, which grow and never shrink by
    /// themselves; otherwise the most that the observer has counted.
    pub fn peak_bytes(&self, observer: &dyn Observer) -> Option<u64> {
        let pool = self.device().inner().memory_pool_usage();
        pool.map(|usage| usage.bytes_reserved).or_else(|| observer.peak_bytes())
    }

    /// The network's arrays. Only finite ones are ever saved.
    pub fn finite_weights(&self) -> Result<Arrays> {
        let arrays = collect(&self.network);
        if arrays.values().flat_map(|array| &array.values).all(|value| value.is_finite()) {
            return Ok(arrays);
        }
        Err(self.not_finite("a weight"))
    }

    /// Writes a weight file: `init`, `best` or `last`.
    pub fn save_weights(&self, which: &str, arrays: &Arrays) -> Result<()> {
        self.write(&self.directory.weights(which), || self.weight_file(which, arrays))
    }

    /// Writes a file of the run, if this is the rank that writes.
    pub fn write(&self, path: &Path, content: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
        if self.machine.is_first() {
            write_atomically(path, &content()?)?;
        }
        Ok(())
    }

    /// The bytes of a weight file.
    pub fn weight_file(&self, which: &str, arrays: &Arrays) -> Result<Vec<u8>> {
        let (config, data) = (self.network.config().clone(), self.data.info().clone());
        let file = WeightFile::new(config, data, arrays.clone()).for_residual::<R>();
        Ok(file.to_bytes(&self.directory.weights(which))?)
    }

    /// Whether the file with the best weights is the one that the run wrote.
    pub fn best_is_there(&self) -> bool {
        let found = read(&self.directory.weights("best"));
        found.is_ok_and(|bytes| Some(crc32c::crc32c(&bytes)) == self.position.best_file)
    }

    /// Makes sure that the best weights so far are there when a run goes on. Where they are those of the
    /// checkpoint, they are written again. Where they are lost, a remark says so, and the best of the epochs that follow is
    /// to count. `behind` says that the checkpoint is not the latest one: then the file may be of an epoch
    /// that is trained again.
    pub fn recover_best(&self, behind: bool) -> Result<Option<String>> {
        let Some(best) = self.position.best.filter(|_| self.machine.is_first()) else {
            return Ok(None);
        };
        let file = self.directory.weights("best");
        if self.best_is_there() || (behind && WeightFile::load(&file).is_ok()) {
            return Ok(None);
        }
        if self.position.step == 0 && best.epoch == self.position.epoch {
            let weights = match &self.average {
                Some(average) => average.arrays(&self.network),
                None => collect(&self.network),
            };
            self.save_weights("best", &weights)?;
            return Ok(None);
        }
        let what = format!(
            "{} is not the file that this run wrote: the best validation so far, of epoch {}, is lost",
            file.display(),
            best.epoch
        );
        if self.position.epoch >= self.settings.training.epochs {
            let reason = "not the file that this run wrote, or missing; put it back, or train on with --epochs";
            return Err(Error::format(file, reason));
        }
        Ok(Some(format!("{what}, and the best of the epochs that follow counts")))
    }

    /// Writes everything that resuming needs.
    pub fn save_checkpoint(&self) -> Result<()> {
        if !self.machine.is_first() {
            return Ok(());
        }
        // Before anything is written: a checkpoint with NaN in it could not be resumed.
        self.finite_weights()?;
        checkpoint::save(
            &self.directory,
            &self.identity,
            &self.position,
            &self.network,
            self.average.as_ref(),
            &self.optimizer,
        )
        .map_err(|error| self.placed(error, "the state of the run"))
    }

    /// Adds what is missing in the event files.
    pub fn add_events(&mut self) -> Result<()> {
        if !self.machine.is_first() {
            return Ok(());
        }
        self.events.add(&self.position.rows)
    }

    /// Brings `config.toml` up to date: what may change in it has changed.
    pub fn update_config(&self) -> Result<()> {
        let path = self.directory.config();
        if !self.machine.is_first() {
            return Ok(());
        }
        if read(&path).is_ok_and(|there| there == self.config.as_bytes()) {
            return Ok(());
        }
        Ok(write_atomically(&path, self.config.as_bytes())?)
    }

    /// Removes the result of a run that is trained on.
    pub fn remove_result(&self) -> Result<()> {
        if !self.machine.is_first() {
            return Ok(());
        }
        let path = self.directory.result();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Goes on from a checkpoint of this run.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where it is one of another run, or where the images are others.
    pub fn restored(mut self, checkpoint: Checkpoint) -> Result<Self> {
        checkpoint.identity.check(&self.identity)?;
        let (began, now) = (checkpoint.position.data, self.data.checksums);
        for (which, same) in
            [("training", began.training == now.training), ("test", began.test == now.test)]
        {
            if !same {
                let reason = format!("the {which} images are not those this run began with");
                return Err(Error::config("data", reason));
            }
        }
        self.check_position(&checkpoint.position)?;
        let device = self.device().inner();
        let (average, optimizer) = (self.average.as_mut(), &mut self.optimizer);
        let restored = checkpoint.restore(self.network, average, optimizer, &device)?;
        (self.position, self.network) = restored;
        let Position { grids, parts, .. } = &self.position;
        let path = self.directory.checkpoint();
        let misfit = |error: palinode::Error| Error::format(&path, error.to_string());
        // A run of an earlier program has neither.
        if !grids.is_empty() {
            let grid = |fraction: &Option<i32>| fraction.map(Grid::new).transpose();
            let grids = grids.iter().map(grid).collect::<std::result::Result<Vec<_>, _>>();
            let grids = grids.map_err(|error| misfit(error.into()))?;
            self.network = self.network.with_grids(&grids).map_err(misfit)?;
        }
        if !parts.is_empty() {
            self.network = self.network.with_parts(parts).map_err(misfit)?;
        }
        Ok(self)
    }

    /// Refuses a position that this run cannot have reached.
    fn check_position(&self, position: &Position) -> Result<()> {
        let training = &self.settings.training;
        let batches = self.data.epoch_images.div_ceil(training.batch_size);
        let steps = batches.div_ceil(training.accumulate);
        let Position { epoch, step, seen, loss_sum, .. } = position;
        let fits = *epoch <= training.epochs
            && *step <= steps
            && (*step == 0) == (*seen == 0)
            && *seen <= self.data.epoch_images
            && loss_sum.is_finite();
        match fits {
            true => Ok(()),
            false => {
                let reason = format!(
                    "stands at epoch {epoch}, step {step}, after {seen} images; the run has {} epochs of \
                     {steps} steps and {} images",
                    training.epochs, self.data.epoch_images
                );
                Err(Error::format(self.directory.checkpoint(), reason))
            }
        }
    }

    /// Adds the readings to the position.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the step; [`palinode::Error::Device`].
    pub fn read(&mut self, readings: &mut Readings) -> Result<()> {
        match readings.read(&mut self.position)? {
            Some(NotFinite { what, step }) => Err(self.not_finite_at(what, step)),
            None => Ok(()),
        }
    }

    /// The error of a number that is not finite, at the current step.
    pub fn not_finite(&self, what: &'static str) -> Error {
        self.not_finite_at(what, self.position.step)
    }

    /// The error of a number that is not finite, at a step of this epoch, from 0.
    fn not_finite_at(&self, what: &'static str, step: usize) -> Error {
        let place = format!(
            "epoch {}, step {}; the last good checkpoint is kept in {}",
            self.position.epoch + 1,
            step + 1,
            self.directory.path().display()
        );
        Error::NonFinite { what, place }
    }

    /// The error of an evaluation, where it is one of a number that is not finite with the current step.
    pub fn placed(&self, error: Error, what: &'static str) -> Error {
        match error {
            Error::NonFinite { .. } => self.not_finite(what),
            error => error,
        }
    }

    /// The error of a run that was asked to stop.
    pub fn interrupted(&self) -> Error {
        Error::Interrupted { run: self.directory.path().to_owned() }
    }
}
