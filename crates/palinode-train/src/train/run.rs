//! The training loop.

use super::epoch_end::end_epoch;
use super::evaluate::{correct, smoothed_cross_entropy};
use super::gradients::{GradientMean, ParameterGradients};
use super::observer::{Observer, Progress};
use super::state::{Run, not_finite};
use crate::data::{Batches, Epoch, ImageSource};
use crate::error::{Error, Result};
use palinode::network::Phase;
use palinode::network::weights::to_f32;
use palinode::residual::Residual;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two checkpoints inside a long epoch.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// Trains through all epochs that are left.
///
/// A step takes `training.accumulate` batches: forward, loss and backward for each, then one update of
/// the weights with the mean gradient. An epoch ends with a validation and a checkpoint.
///
/// # Errors
/// [`Error::NonFinite`] and [`Error::Interrupted`], with the last checkpoint kept.
pub(super) fn run_epochs<R: Residual>(
    mut run: Run<R>,
    observer: &mut dyn Observer,
) -> Result<Run<R>> {
    let (settings, device) = (run.settings.clone(), run.device());
    let (seed, training) = (settings.seed, settings.training);
    let classes = run.network.config().classes;
    while run.position.epoch < training.epochs {
        // The epoch's batches in the order that the seed says, without those of finished steps.
        let epoch = run.position.epoch;
        let mut batches = Batches::for_training(
            Arc::clone(&run.data.training),
            run.data.info(),
            training.batch_size,
            settings.augmentation,
            training.shuffle,
            Epoch { seed, number: epoch, images: run.data.epoch_images },
        );
        let batches_per_epoch = batches.count();
        let steps = batches_per_epoch.div_ceil(training.accumulate);
        batches.skip_batches(run.position.step * training.accumulate);
        let mut batches = batches.ahead(&device);
        let rate_at = |step: usize| {
            let factor =
                settings.schedule.factor_at(epoch, epoch * steps + step, training.epochs * steps);
            settings.optimizer.learning_rate * factor
        };
        let (mut saved, mut since) = (Instant::now(), Instant::now());

        while run.position.step < steps {
            let mut mean = GradientMean::default();
            let first = run.position.step * training.accumulate;
            for (number, batch) in (first..).zip(batches.by_ref().take(training.accumulate)) {
                let batch = batch?;
                let images = batch.indices.len();
                let labels: Vec<usize> =
                    batch.indices.iter().map(|&index| run.data.training.label(index)).collect();

                let step = (epoch * batches_per_epoch + number) as u64;
                let logits = run.network.forward(batch.images, Phase::Training { seed, step })?;
                run.position.correct += correct(&to_f32(logits.clone()), &labels, classes);
                let loss = smoothed_cross_entropy(logits, batch.labels, training.label_smoothing);
                let value = loss.clone().inner().into_scalar::<f64>();
                if !value.is_finite() {
                    return Err(run.not_finite("the loss"));
                }
                run.position.loss_sum += value * images as f64;
                run.position.seen += images;

                let gradients = ParameterGradients::take(&run.network, &mut loss.backward());
                mean.add(gradients, images)?;
            }
            let Some(gradients) = mean.finish() else {
                return Err(Error::config("data", "the batches end before the epoch does"));
            };
            let rate = rate_at(run.position.step);
            let stepped = run.optimizer.step(run.network, gradients, rate);
            run.network = stepped.map_err(|error| match error {
                Error::NonFinite { what, .. } => not_finite(what, &run.position, &run.directory),
                error => error,
            })?;
            if let Some(average) = &mut run.average {
                average.update(&run.network);
            }

            let position = &mut run.position;
            position.step += 1;
            position.total_steps += 1;
            let passed = since.elapsed().as_secs_f64();
            since = Instant::now();
            position.seconds += passed;
            position.epoch_seconds += passed;
            observer.step(&Progress {
                epoch: epoch + 1,
                epochs: training.epochs,
                step: position.step,
                steps,
                loss: position.loss_sum / position.seen as f64,
                accuracy: position.correct as f64 / position.seen as f64,
                images_per_second: position.seen as f64 / position.epoch_seconds,
            });
            let stop = observer.stop_requested();
            if stop || saved.elapsed() > CHECKPOINT_INTERVAL {
                run.save_checkpoint()?;
                saved = Instant::now();
            }
            if stop {
                return Err(run.interrupted());
            }
        }

        end_epoch(&mut run, rate_at(steps - 1), observer)?;
        if observer.stop_requested() {
            return Err(run.interrupted());
        }
    }
    Ok(run)
}
