//! The training loop, from a recipe to a run directory.

use super::average::Average;
use super::checkpoint::{self, Best, Position};
use super::directory::RunDirectory;
use super::evaluate::{EVALUATION_BATCH, Evaluation, evaluate};
use super::events::event_file;
use super::images::{TrainingData, read_test};
use super::metrics::{self, Row};
use super::observer::{Observer, Progress};
use super::optimizer::Sgd;
use super::outcome::Outcome;
use super::step::{Step, train_step};
use crate::data::{Batches, Dataset, Epoch};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::report;
use burn::tensor::Device;
use palinode::file::write_atomically;
use palinode::network::weights::{Arrays, collect};
use palinode::network::{Network, Phase, WeightFile, count};
use palinode::residual::BuiltIn;
use palinode_kernels::isa::Isa;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two checkpoints inside a long epoch.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// Trains by `recipe` in the new directory `out`.
///
/// # Errors
/// Everything that can be wrong with recipe, data or directory; [`Error::NonFinite`] and
/// [`Error::Interrupted`] with the last checkpoint kept.
pub fn train(recipe: Recipe, out: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    let mut recipe = recipe.resolved()?;
    select_isa(&recipe)?;
    recipe.training.isa = Some(Isa::current().for_gradients(recipe.training.gradients));
    let data = TrainingData::load(&recipe)?;
    let network = data.network(&recipe)?;
    let directory = RunDirectory::create(out)?;
    write_atomically(&directory.config(), recipe.to_toml()?.as_bytes())?;
    directory.prepare()?;
    let position = Position { data: data.checksum, ..Position::default() };
    let run = Run::new(recipe, directory, data, network, position);
    run.save_weights("init", &collect(&run.network))?;
    run.save_checkpoint()?;
    run.finish(observer)
}

/// Continues the run in `path`, bit for bit as if it had never stopped.
///
/// # Errors
/// As [`train`]; [`Error::Config`] where the training images are no longer the same.
pub fn resume(path: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    let directory = RunDirectory::open(path)?;
    let recipe = Recipe::load(&directory.config(), &[])?;
    select_isa(&recipe)?;
    if let Some(outcome) = Outcome::load(&directory)? {
        return Ok(outcome);
    }
    let data = TrainingData::load(&recipe)?;
    let network = data.network(&recipe)?;
    directory.prepare()?;
    let position = Position { data: data.checksum, ..Position::default() };
    let mut run = Run::new(recipe, directory, data, network, position);
    let file = run.directory.checkpoint();
    if file.is_file() {
        let (position, network) = checkpoint::load(
            &file,
            run.network,
            run.average.as_mut(),
            &mut run.optimizer,
            &Device::flex(),
        )?;
        if position.data != run.data.checksum {
            let reason = "the training images are not those this run began with";
            return Err(Error::config("data", reason));
        }
        (run.position, run.network) = (position, network);
    } else {
        // Stopped before the first checkpoint: nothing is lost by starting again.
        run.save_weights("init", &collect(&run.network))?;
    }
    run.finish(observer)
}

/// Makes the kernels use the instruction set that a recipe names, if it names one.
fn select_isa(recipe: &Recipe) -> Result<()> {
    match recipe.training.isa {
        Some(isa) => isa.select().map_err(|reason| Error::config("training.isa", reason)),
        None => Ok(()),
    }
}

/// A run that is under way.
struct Run {
    recipe: Recipe,
    directory: RunDirectory,
    data: TrainingData,
    network: Network<BuiltIn>,
    optimizer: Sgd,
    average: Option<Average>,
    position: Position,
}

impl Run {
    fn new(
        recipe: Recipe,
        directory: RunDirectory,
        data: TrainingData,
        network: Network<BuiltIn>,
        position: Position,
    ) -> Self {
        let optimizer =
            Sgd::new(&recipe.optimizer, &network).with_smoothness(recipe.smoothness, &network);
        let decay = recipe.training.average;
        let average = (decay > 0.0).then(|| Average::new(decay));
        Self { recipe, directory, data, network, optimizer, average, position }
    }

    fn finish(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let epochs = self.recipe.training.epochs;
        if epochs == 0 {
            return Ok(Outcome {
                run: self.directory.path().to_owned(),
                epochs,
                parameters: count(&self.network).total,
                validation_accuracy: None,
                test_accuracy: None,
                test_loss: None,
                seconds: None,
                images_per_second: None,
                peak_bytes: None,
            });
        }
        while self.position.epoch < epochs {
            self = self.epoch(observer)?;
            if observer.stop_requested() {
                return Err(self.interrupted());
            }
        }
        self.conclude(observer)
    }

    /// The current epoch's remaining steps, and its end.
    fn epoch(mut self, observer: &mut dyn Observer) -> Result<Self> {
        let (epoch, epochs) = (self.position.epoch, self.recipe.training.epochs);
        let mut batches = Batches::for_training(
            Arc::clone(&self.data.training),
            &self.data.info,
            self.recipe.training.batch_size,
            self.recipe.augmentation,
            self.recipe.training.shuffle,
            Epoch { seed: self.recipe.seed, number: epoch, images: self.data.epoch_images },
        );
        let steps = batches.count();
        batches.skip_steps(self.position.step);
        let device = Device::flex().autodiff();
        let (mut saved, mut since) = (Instant::now(), Instant::now());
        for batch in batches.ahead(&device) {
            let labels: Vec<u8> =
                batch.indices.iter().map(|&i| self.data.training.labels[i]).collect();
            let rate = learning_rate(&self.recipe, epoch, self.position.step, steps);
            let phase = Phase::Training {
                seed: self.recipe.seed,
                step: (epoch * steps + self.position.step) as u64,
            };
            let step = Step { rate, phase, label_smoothing: self.recipe.training.label_smoothing };
            let stepped = train_step(self.network, &mut self.optimizer, batch, &labels, step)?;
            self.network = stepped.network;
            if !stepped.loss.is_finite() {
                return Err(not_finite("the loss", &self.directory, &self.position));
            }

            if let Some(average) = &mut self.average {
                average.update(&self.network);
            }

            let position = &mut self.position;
            position.step += 1;
            position.total_steps += 1;
            position.loss_sum += stepped.loss * labels.len() as f64;
            position.correct += stepped.correct;
            position.seen += labels.len();
            let passed = since.elapsed().as_secs_f64();
            since = Instant::now();
            position.seconds += passed;
            position.epoch_seconds += passed;
            observer.step(&Progress {
                epoch: epoch + 1,
                epochs,
                step: position.step,
                steps,
                loss: position.loss_sum / position.seen as f64,
                accuracy: position.correct as f64 / position.seen as f64,
                images_per_second: position.seen as f64 / position.epoch_seconds,
            });
            let stop = observer.stop_requested();
            if stop || saved.elapsed() > CHECKPOINT_INTERVAL {
                self.save_checkpoint()?;
                saved = Instant::now();
            }
            if stop {
                return Err(self.interrupted());
            }
        }
        self.close_epoch(learning_rate(&self.recipe, epoch, steps - 1, steps), observer)?;
        Ok(self)
    }

    /// Validation, metrics, weights and checkpoint at the end of an epoch.
    fn close_epoch(&mut self, learning_rate: f64, observer: &mut dyn Observer) -> Result<()> {
        let own = self.finite_weights()?;
        let (judged, weights) = match &self.average {
            Some(average) => (average.applied(&self.network)?, average.arrays().clone()),
            None => (self.network.clone(), own),
        };
        let (epoch, epochs) = (self.position.epoch + 1, self.recipe.training.epochs);
        let mut rows = vec![Row {
            epoch,
            split: "train".to_owned(),
            loss: self.position.loss_sum / self.position.seen as f64,
            accuracy: self.position.correct as f64 / self.position.seen as f64,
            learning_rate,
            seconds: self.position.epoch_seconds,
            images_per_second: self.position.seen as f64 / self.position.epoch_seconds,
            peak_bytes: observer.peak_bytes(),
        }];
        let due = epoch.is_multiple_of(self.recipe.training.validate_every) || epoch == epochs;
        let mut best = None;
        if self.data.validation.is_empty() {
            best = Some(Best { epoch, accuracy: None });
        } else if due {
            let since = Instant::now();
            let found = self.evaluate(&judged, &self.data.validation)?;
            if !found.loss.is_finite() {
                let what = "the validation loss";
                return Err(not_finite(what, &self.directory, &self.position));
            }
            let seconds = since.elapsed().as_secs_f64();
            self.position.seconds += seconds;
            rows.push(Row {
                epoch,
                split: "validation".to_owned(),
                loss: found.loss,
                accuracy: found.accuracy,
                learning_rate,
                seconds,
                images_per_second: self.data.validation.len() as f64 / seconds,
                peak_bytes: observer.peak_bytes(),
            });
            let so_far = self.position.best.and_then(|best| best.accuracy);
            if so_far.is_none_or(|accuracy| found.accuracy > accuracy) {
                best = Some(Best { epoch, accuracy: Some(found.accuracy) });
            }
        }
        rows.iter().for_each(|row| observer.row(row, epochs));
        if best.is_some() {
            self.position.best = best;
            self.save_weights("best", &weights)?;
        }
        self.save_weights("last", &weights)?;
        let position = &mut self.position;
        position.rows.append(&mut rows);
        (position.epoch, position.step, position.loss_sum) = (epoch, 0, 0.0);
        (position.correct, position.seen, position.epoch_seconds) = (0, 0, 0.0);
        metrics::write(&self.directory.metrics(), &position.rows)?;
        write_atomically(&self.directory.curves(), report::curves(&position.rows)?.as_bytes())?;
        let began = self.directory.began();
        write_atomically(&self.directory.events(), &event_file(began, &position.rows))?;
        // Last, so that whatever came before is done again if the run is killed in between.
        self.save_checkpoint()
    }

    /// The network's arrays, if there is no NaN or infinity in them: nothing else is ever saved.
    fn finite_weights(&self) -> Result<Arrays> {
        let arrays = collect(&self.network);
        if arrays.values().flat_map(|array| &array.values).all(|value| value.is_finite()) {
            return Ok(arrays);
        }
        Err(not_finite("a weight", &self.directory, &self.position))
    }

    fn save_weights(&self, which: &str, arrays: &Arrays) -> Result<()> {
        let (config, data) = (self.network.config().clone(), self.data.info.clone());
        WeightFile::new(config, data, arrays.clone()).save(&self.directory.weights(which))?;
        Ok(())
    }

    fn save_checkpoint(&self) -> Result<()> {
        let file = self.directory.checkpoint();
        let weights = self.finite_weights()?;
        checkpoint::save(&file, &self.position, weights, self.average.as_ref(), &self.optimizer)
    }

    fn evaluate(&self, network: &Network<BuiltIn>, dataset: &Dataset) -> Result<Evaluation> {
        evaluate(network, dataset, &self.data.info, EVALUATION_BATCH)
    }

    fn interrupted(&self) -> Error {
        Error::Interrupted { run: self.directory.path().to_owned() }
    }

    /// Reads the test part with the best-validation weights, if the recipe says so, and writes the
    /// report.
    fn conclude(self, observer: &mut dyn Observer) -> Result<Outcome> {
        let best = WeightFile::load(&self.directory.weights("best"))?;
        let network = best.network(best.config.usual_mode(), &Device::flex())?;
        let tested = read_test(&self.recipe, &network, &self.data.info)?;
        if tested.as_ref().is_some_and(|(_, found)| !found.loss.is_finite()) {
            return Err(not_finite("the test loss", &self.directory, &self.position));
        }
        let found = tested.as_ref().map(|(_, found)| found);
        let position = &self.position;
        let training: Vec<&Row> = position.rows.iter().filter(|r| r.split == "train").collect();
        let training_seconds: f64 = training.iter().map(|row| row.seconds).sum();
        let images = training.len() * self.data.epoch_images;
        let outcome = Outcome {
            run: self.directory.path().to_owned(),
            epochs: position.epoch,
            parameters: count(&network).total,
            validation_accuracy: position.best.and_then(|best| best.accuracy),
            test_accuracy: found.map(|found| found.accuracy),
            test_loss: found.map(|found| found.loss),
            seconds: Some(position.seconds),
            images_per_second: Some(images as f64 / training_seconds),
            peak_bytes: Some(observer.peak_bytes()),
        };
        let page = report::Report {
            outcome: &outcome,
            recipe: &self.recipe,
            config: network.config(),
            parameters: count(&network),
            rows: &position.rows,
            best: position.best,
            tested: tested.as_ref().map(|(test, found)| (test, found)),
        };
        write_atomically(&self.directory.report(), page.to_html()?.as_bytes())?;
        let json = serde_json::to_string_pretty(&outcome)
            .map_err(|error| Error::format(self.directory.result(), error.to_string()))?;
        write_atomically(&self.directory.result(), json.as_bytes())?;
        Ok(outcome)
    }
}

/// The learning rate of step `step` (from 0) of epoch `epoch` (from 0), `steps` steps each.
fn learning_rate(recipe: &Recipe, epoch: usize, step: usize, steps: usize) -> f64 {
    let total = recipe.training.epochs * steps;
    recipe.optimizer.learning_rate * recipe.schedule.factor_at(epoch, epoch * steps + step, total)
}

fn not_finite(what: &'static str, directory: &RunDirectory, position: &Position) -> Error {
    let place = format!(
        "epoch {}, step {}; the last good checkpoint is kept in {}",
        position.epoch + 1,
        position.step + 1,
        directory.path().display()
    );
    Error::NonFinite { what, place }
}
