//! The training loop, from a recipe to a run directory.

use super::checkpoint::{self, Best, ExactF64, Position};
use super::directory::RunDirectory;
use super::evaluate::{EVALUATION_BATCH, Evaluation, correct, cross_entropy, evaluate, values};
use super::metrics::{self, Row};
use super::optimizer::Sgd;
use super::recipe::Recipe;
use super::report;
use crate::data::{Batch, Batches, DataInfo, Dataset, Part, split};
use crate::error::{Error, Result};
use crate::file::write_atomically;
use crate::network::{Network, Phase, WeightFile};
use crate::residual::{BuiltIn, Residual};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two checkpoints inside a long epoch.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// Who watches a run: a progress bar, a test.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _progress: &Progress) {}
    /// After every epoch and validation.
    fn row(&mut self, _row: &Row, _epochs: usize) {}
    /// Peak of the live bytes since the process began.
    fn peak_bytes(&self) -> u64 {
        0
    }
    /// Whether the run shall stop at the next opportunity.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Where a run stands, for people.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Finished steps of this epoch.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Mean loss of this epoch so far.
    pub loss: f64,
    /// Accuracy of this epoch so far.
    pub accuracy: f64,
    /// Images per second of this epoch so far.
    pub images_per_second: f64,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run directory.
    pub run: PathBuf,
    /// Epochs that were run.
    pub epochs: usize,
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

/// Trains by `recipe` in the new directory `out`.
///
/// # Errors
/// Everything that can be wrong with recipe, data or directory; [`Error::NonFiniteLoss`] and
/// [`Error::Interrupted`] with the last checkpoint kept.
pub fn train(recipe: Recipe, out: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    let recipe = recipe.resolved()?;
    let data = TrainingData::load(&recipe)?;
    let network = data.network(&recipe)?;
    let directory = RunDirectory::create(out)?;
    write_atomically(&directory.config(), recipe.to_toml()?.as_bytes())?;
    WeightFile::of(&network, &data.info).save(&directory.weights("init"))?;
    let optimizer = Sgd::new(&recipe.optimizer, &network);
    let position = Position::default();
    checkpoint::save(&directory.checkpoint(), &position, &network, &optimizer)?;
    Run { recipe, directory, data, network, optimizer, position }.finish(observer)
}

/// Continues the run in `path`, bit for bit as if it had never stopped.
///
/// # Errors
/// As [`train`].
pub fn resume(path: &Path, observer: &mut dyn Observer) -> Result<Outcome> {
    let directory = RunDirectory::open(path)?;
    let recipe = Recipe::load(&directory.config(), &[])?;
    if let Ok(text) = std::fs::read_to_string(directory.result()) {
        let outcome: Outcome = serde_json::from_str(&text)
            .map_err(|error| Error::format(directory.result(), error.to_string()))?;
        return Ok(Outcome { run: path.to_owned(), ..outcome });
    }
    let data = TrainingData::load(&recipe)?;
    let network = data.network(&recipe)?;
    let mut optimizer = Sgd::new(&recipe.optimizer, &network);
    let file = directory.checkpoint();
    let (position, network) = if file.is_file() {
        checkpoint::load(&file, network, &mut optimizer, &Device::flex())?
    } else {
        // Stopped before the first checkpoint: nothing is lost by starting again.
        for made in ["weights", "checkpoints"] {
            let made = path.join(made);
            std::fs::create_dir_all(&made).map_err(Error::io(&made))?;
        }
        WeightFile::of(&network, &data.info).save(&directory.weights("init"))?;
        (Position::default(), network)
    };
    Run { recipe, directory, data, network, optimizer, position }.finish(observer)
}

/// The training part, split, and what is known about it.
struct TrainingData {
    training: Dataset,
    validation: Dataset,
    info: DataInfo,
}

impl TrainingData {
    fn load(recipe: &Recipe) -> Result<Self> {
        let all = recipe.data.name.load(recipe.data.dir.as_deref(), Part::Train)?;
        let (training, validation) = split(&all.labels, recipe.data.validation, recipe.seed);
        let training = all.select(&training);
        if training.is_empty() {
            return Err(Error::config("data.validation", "leaves no image to train on"));
        }
        Ok(Self { info: DataInfo::of(&training), validation: all.select(&validation), training })
    }

    fn network(&self, recipe: &Recipe) -> Result<Network<BuiltIn>> {
        let info = &self.info;
        let config = recipe.network(info.channels, info.size, info.classes.len())?;
        config.init(recipe.seed, recipe.training.mode, &Device::flex().autodiff())
    }
}

/// Loss and gradients of one batch, applied: the network after the step, the mean loss and the
/// number of images classified correctly.
///
/// # Errors
/// As [`Network::forward`].
pub fn train_step<R: Residual>(
    network: Network<R>,
    optimizer: &mut Sgd,
    batch: &Batch,
    labels: &[u8],
    rate: f64,
) -> Result<(Network<R>, f64, usize)> {
    let logits = network.forward(batch.images.clone(), Phase::Training)?;
    let classes = network.config().classes;
    let right = correct(&values(logits.clone()), labels, classes);
    let loss = cross_entropy(logits, batch.labels.clone());
    let value = loss.clone().inner().into_scalar::<f64>();
    if !value.is_finite() {
        return Ok((network, value, right));
    }
    let mut gradients = loss.backward();
    Ok((optimizer.step(network, &mut gradients, rate), value, right))
}

/// A run that is under way.
struct Run {
    recipe: Recipe,
    directory: RunDirectory,
    data: TrainingData,
    network: Network<BuiltIn>,
    optimizer: Sgd,
    position: Position,
}

impl Run {
    fn finish(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let epochs = self.recipe.training.epochs;
        if epochs == 0 {
            return Ok(Outcome {
                run: self.directory.path().to_owned(),
                epochs,
                test_accuracy: None,
                test_loss: None,
                seconds: None,
                images_per_second: None,
                peak_bytes: None,
            });
        }
        while self.position.epoch < epochs {
            self.epoch(observer)?;
        }
        self.conclude(observer)
    }

    /// Finishes the current epoch: its remaining steps, validation, files.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let recipe = self.recipe.clone();
        let (epoch, epochs) = (self.position.epoch, recipe.training.epochs);
        let mut batches = Batches::for_training(
            &self.data.training,
            &self.data.info,
            recipe.training.batch_size,
            recipe.augmentation,
            recipe.training.shuffle,
            (recipe.seed, epoch),
        );
        let steps = batches.count();
        batches.skip_steps(self.position.step);
        let device = Device::flex().autodiff();
        let (mut rate, mut saved) = (recipe.optimizer.learning_rate, Instant::now());
        let mut since = Instant::now();
        while let Some(batch) = batches.next_on(&device) {
            let step = self.position.step;
            rate = recipe.optimizer.learning_rate
                * recipe.schedule.factor_at(epoch, epoch * steps + step, epochs * steps);
            let labels: Vec<u8> =
                batch.indices.iter().map(|&i| self.data.training.labels[i]).collect();
            let network = self.network.clone();
            let (network, loss, right) =
                train_step(network, &mut self.optimizer, &batch, &labels, rate)?;
            if !loss.is_finite() {
                let run = self.directory.path().to_owned();
                return Err(Error::NonFiniteLoss { loss, epoch: epoch + 1, step: step + 1, run });
            }
            self.network = network;

            let position = &mut self.position;
            position.step += 1;
            position.loss_sum = ExactF64(position.loss_sum.0 + loss * labels.len() as f64);
            position.correct += right;
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
                loss: position.loss_sum.0 / position.seen as f64,
                accuracy: position.correct as f64 / position.seen as f64,
                images_per_second: position.seen as f64 / position.epoch_seconds,
            });
            let stop = observer.stop_requested();
            if stop || saved.elapsed() > CHECKPOINT_INTERVAL {
                self.save_checkpoint()?;
                saved = Instant::now();
            }
            if stop {
                return Err(Error::Interrupted { run: self.directory.path().to_owned() });
            }
        }
        self.close_epoch(rate, observer)
    }

    /// Validation, metrics, weights and checkpoint at the end of an epoch.
    fn close_epoch(&mut self, learning_rate: f64, observer: &mut dyn Observer) -> Result<()> {
        let (epoch, epochs) = (self.position.epoch + 1, self.recipe.training.epochs);
        let position = &mut self.position;
        let row = Row {
            epoch,
            split: "train".to_owned(),
            loss: position.loss_sum.0 / position.seen as f64,
            accuracy: position.correct as f64 / position.seen as f64,
            learning_rate,
            seconds: position.epoch_seconds,
            images_per_second: position.seen as f64 / position.epoch_seconds,
            peak_bytes: observer.peak_bytes(),
        };
        observer.row(&row, epochs);
        position.rows.push(row);

        let due = epoch.is_multiple_of(self.recipe.training.validate_every) || epoch == epochs;
        if self.data.validation.is_empty() {
            let accuracy = 0.0;
            self.keep_best(Best { epoch, accuracy })?;
        } else if due {
            let since = Instant::now();
            let found = self.evaluate(&self.network, &self.data.validation)?;
            let seconds = since.elapsed().as_secs_f64();
            self.position.seconds += seconds;
            let row = Row {
                epoch,
                split: "validation".to_owned(),
                loss: found.loss,
                accuracy: found.accuracy,
                learning_rate,
                seconds,
                images_per_second: self.data.validation.len() as f64 / seconds,
                peak_bytes: observer.peak_bytes(),
            };
            observer.row(&row, epochs);
            self.position.rows.push(row);
            if self.position.best.is_none_or(|best| found.accuracy > best.accuracy) {
                self.keep_best(Best { epoch, accuracy: found.accuracy })?;
            }
        }
        WeightFile::of(&self.network, &self.data.info).save(&self.directory.weights("last"))?;
        let position = &mut self.position;
        (position.epoch, position.step, position.loss_sum) = (epoch, 0, ExactF64(0.0));
        (position.correct, position.seen, position.epoch_seconds) = (0, 0, 0.0);
        metrics::write(&self.directory.metrics(), &position.rows)?;
        write_atomically(&self.directory.curves(), report::curves(&position.rows)?.as_bytes())?;
        // Last, so that whatever came before is done again if the run is killed in between.
        self.save_checkpoint()
    }

    fn keep_best(&mut self, best: Best) -> Result<()> {
        self.position.best = Some(best);
        WeightFile::of(&self.network, &self.data.info).save(&self.directory.weights("best"))
    }

    fn save_checkpoint(&self) -> Result<()> {
        let file = self.directory.checkpoint();
        checkpoint::save(&file, &self.position, &self.network, &self.optimizer)
    }

    fn evaluate(&self, network: &Network<BuiltIn>, dataset: &Dataset) -> Result<Evaluation> {
        evaluate(network, dataset, &self.data.info, EVALUATION_BATCH)
    }

    /// Reads the test part, once, with the best-validation weights, and writes the report.
    fn conclude(self, observer: &mut dyn Observer) -> Result<Outcome> {
        let best = WeightFile::load(&self.directory.weights("best"))?;
        let network = best.network(self.recipe.training.mode, &Device::flex())?;
        let test = self.recipe.data.name.load(self.recipe.data.dir.as_deref(), Part::Test)?;
        let found = self.evaluate(&network, &test)?;
        let position = &self.position;
        let training: Vec<&Row> = position.rows.iter().filter(|r| r.split == "train").collect();
        let training_seconds: f64 = training.iter().map(|row| row.seconds).sum();
        let images = training.len() * self.data.training.len();
        let outcome = Outcome {
            run: self.directory.path().to_owned(),
            epochs: position.epoch,
            test_accuracy: Some(found.accuracy),
            test_loss: Some(found.loss),
            seconds: Some(position.seconds),
            images_per_second: Some(images as f64 / training_seconds),
            peak_bytes: Some(observer.peak_bytes()),
        };
        let page = report::Report {
            outcome: &outcome,
            recipe: &self.recipe,
            network: &network,
            rows: &position.rows,
            best: position.best,
            test: &test,
            evaluation: &found,
        };
        write_atomically(&self.directory.report(), page.to_html()?.as_bytes())?;
        let json = serde_json::to_string_pretty(&outcome)
            .map_err(|error| Error::format(self.directory.result(), error.to_string()))?;
        write_atomically(&self.directory.result(), json.as_bytes())?;
        Ok(outcome)
    }
}
