//! The training loop.

use super::epoch_end::{Ended, end_epoch};
use super::evaluate::losses;
use super::gradients::{GradientMean, loss_scale, scaled_gradients};
use super::observer::{Observer, Progress};
use super::readings::Readings;
use super::reversal::Reversal;
use super::state::Run;
use super::teamwork::Teamwork;
use crate::data::{Batches, Epoch};
use crate::error::{Error, Result};
use burn::tensor::Tensor;
use palinode::network::{Network, Phase};
use palinode::residual::Residual;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two checkpoints inside a long epoch.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);

/// What a forward pass gives.
struct Forward {
    /// `[n]`.
    losses: Tensor<1>,
    /// `[n, classes]`.
    logits: Tensor<2>,
}

/// Trains through all epochs that are left.
///
/// A step takes `training.accumulate` batches: forward, loss and backward for each, then one update of
/// the weights with the mean gradient. An epoch ends with a validation and a checkpoint.
///
/// # Errors
/// [`Error::NonFinite`] and [`Error::Interrupted`], with the last checkpoint kept.
pub(super) fn run_epochs<R: Residual>(run: Run<R>, observer: &mut dyn Observer) -> Result<Run<R>> {
    let (mut reversal, mut run) = Reversal::of(run);
    reversal.check_limits(&run, observer)?;
    let (settings, device) = (run.settings.clone(), run.device());
    let (seed, training) = (settings.seed, settings.training);
    let loss_scale = loss_scale(training.precision, &run.network);
    let rank = run.machine.rank();
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
        if let Some((rank, ranks)) = rank {
            batches = batches.for_rank(rank, ranks);
        }
        batches.skip_batches(run.position.step * training.accumulate);
        let mut batches = batches.ahead(&device, run.network.context())?;
        let rate_at = |step: usize| {
            let factor =
                settings.schedule.factor_at(epoch, epoch * steps + step, training.epochs * steps);
            settings.optimizer.learning_rate * factor
        };
        let mut readings = Readings::on(&device);
        let mut issued = run.position.seen;
        let (mut saved, mut since) = (Instant::now(), Instant::now());
        // What was sent before the epoch is not part of it.
        let mut computed = Duration::ZERO;
        if let Some(group) = &run.machine.group {
            group.traffic();
        }

        while run.position.step < steps {
            let began = Instant::now();
            let mut mean = GradientMean::default();
            let examined = reversal.is_due(&mut run, steps)?;
            let first = run.position.step * training.accumulate;
            for (number, batch) in (first..).zip(batches.by_ref().take(training.accumulate)) {
                let batch = batch?;
                let context = run.context_for(&batch)?;
                let (images, labels) = (batch.whole, batch.labels);

                let step = (epoch * batches_per_epoch + number) as u64;
                let smoothing = training.label_smoothing;
                let forward = |network: &Network<R>, phase: Phase| -> Result<Forward> {
                    let logits = match context.share() {
                        None => network.forward(batch.images.clone(), phase)?,
                        Some(_) => {
                            let shared = network.clone().with_context(&context)?;
                            shared.forward(batch.images.clone(), phase)?
                        }
                    };
                    let losses = losses(logits.clone(), labels.clone(), smoothing);
                    Ok(Forward { losses, logits })
                };
                let backward = |network: &Network<R>, losses: Tensor<1>| {
                    // The mean over the whole batch.
                    let loss = losses.sum() / images as f64;
                    scaled_gradients(network, loss, loss_scale, context.share())
                };
                let found = forward(&run.network, Phase::Training { seed, step })?;
                let Forward { losses, logits } = found;
                let classified = (logits, labels.clone());
                readings.add_batch(run.position.step, &context, &losses, classified);

                let mut gradients = backward(&run.network, losses)?;
                if examined {
                    let again = |network: &Network<R>| {
                        let repeated = forward(network, Phase::Repeated { seed, step })?;
                        backward(network, repeated.losses)
                    };
                    match reversal.examine(&mut run, &again, observer) {
                        Ok(None) => (),
                        Ok(Some(better)) => gradients = better,
                        Err(error @ Error::Drift { drift, .. }) if drift.is_infinite() => {
                            // Mostly the loss is the first number that is not finite.
                            run.read(&mut readings)?;
                            return Err(error);
                        }
                        Err(error) => return Err(error),
                    }
                }
                mean.add(gradients, images)?;
                issued += images;
            }
            let Some(gradients) = mean.finish() else {
                return Err(Error::config("data", "the batches end before the epoch does"));
            };
            let rate = rate_at(run.position.step);
            let (network, norm) = run.optimizer.step(run.network, gradients, rate)?;
            run.network = network;
            readings.add_norm(run.position.step, norm);
            if let Some(average) = &mut run.average {
                average.update(&run.network);
            }

            run.position.step += 1;
            run.position.total_steps += 1;
            if readings.step() || run.position.step == steps {
                run.read(&mut readings)?;
            }
            let position = &mut run.position;
            let passed = since.elapsed().as_secs_f64();
            since = Instant::now();
            position.seconds += passed;
            position.epoch_seconds += passed;
            observer.step(&Progress {
                epoch: epoch + 1,
                epochs: training.epochs,
                step: position.step,
                steps,
                // NaN until the first reading.
                loss: position.loss_sum / position.seen as f64,
                accuracy: position.correct as f64 / position.seen as f64,
                images_per_second: issued as f64 / position.epoch_seconds,
                drift: position.drifts.iter().copied().fold(0.0, f64::max),
            });
            let due = run.machine.is_first() && saved.elapsed() > CHECKPOINT_INTERVAL;
            let [stop, due] = run.machine.any([observer.stop_requested(), due]);
            computed += began.elapsed();
            if stop || due {
                run.read(&mut readings)?;
                run.save_checkpoint()?;
                saved = Instant::now();
            }
            if stop {
                return Err(run.interrupted());
            }
        }

        let teamwork = Teamwork::of(&run.machine, computed.as_secs_f64())?;
        let ended = Ended { learning_rate: rate_at(steps - 1), teamwork };
        end_epoch(&mut run, &mut reversal, ended, observer)?;
        if run.machine.any([observer.stop_requested()]) == [true] {
            return Err(run.interrupted());
        }
    }
    Ok(run)
}
