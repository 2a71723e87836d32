//! The end of an epoch: validation, weights, figures, checkpoint.

use super::evaluate::{evaluate_together, evaluation_batch};
use super::metrics::{self, Numbers, Row};
use super::observer::Observer;
use super::position::Best;
use super::reversal::Reversal;
use super::state::Run;
use super::teamwork::Teamwork;
use crate::error::Result;
use crate::report;
use palinode::residual::Residual;
use std::time::Instant;

/// What is known of an epoch besides the position of the run.
pub(super) struct Ended {
    /// Of its last step.
    pub learning_rate: f64,
    /// How several ranks worked together.
    pub teamwork: Teamwork,
}

/// Closes the current epoch.
pub(super) fn end_epoch<R: Residual>(
    run: &mut Run<R>,
    reversal: &mut Reversal,
    Ended { learning_rate, teamwork }: Ended,
    observer: &mut dyn Observer,
) -> Result<()> {
    let weights = run.finite_weights()?;
    let (validated, weights) = match &run.average {
        Some(average) => (average.applied(&run.network)?, average.arrays(&run.network)),
        None => (run.network.clone(), weights),
    };
    let training = &run.settings.training;
    let (epoch, epochs) = (run.position.epoch + 1, training.epochs);
    let evaluation_batch = evaluation_batch(run.machine.images(training.batch_size));
    let due = epoch.is_multiple_of(training.validate_every) || epoch == epochs;
    if let Some((rank, text)) = teamwork.slowest()
        && run.slow.insert(rank)
    {
        observer.remark(&text);
    }
    let mut rows = vec![Row {
        epoch,
        split: "train".to_owned(),
        loss: run.position.loss_sum / run.position.seen as f64,
        accuracy: run.position.correct as f64 / run.position.seen as f64,
        learning_rate,
        seconds: run.position.epoch_seconds,
        images_per_second: run.position.seen as f64 / run.position.epoch_seconds,
        peak_bytes: run.peak_bytes(observer),
        drift: Numbers(run.position.drifts.clone()),
        gradient_drift: reversal.end_epoch(run, observer)?,
        rank_seconds: Numbers(teamwork.seconds),
        sent_bytes: teamwork.sent_bytes,
        overlapped: teamwork.overlapped,
    }];
    let mut best = None;
    let images = run.data.validation.len();
    if images == 0 {
        best = Some(Best { epoch, accuracy: None });
    } else if due {
        let since = Instant::now();
        let (source, info) = (&run.data.validation, run.data.info());
        let group = run.machine.group.as_deref();
        let found = evaluate_together(&validated, source, info, evaluation_batch, group);
        let found = found.map_err(|error| run.placed(error, "the validation loss"))?;
        let seconds = since.elapsed().as_secs_f64();
        run.position.seconds += seconds;
        rows.push(Row {
            epoch,
            split: "validation".to_owned(),
            loss: found.loss,
            accuracy: found.accuracy,
            learning_rate,
            seconds,
            images_per_second: images as f64 / seconds,
            peak_bytes: run.peak_bytes(observer),
            ..Row::default()
        });
        let so_far = run.position.best.and_then(|best| best.accuracy);
        if so_far.is_none_or(|accuracy| found.accuracy > accuracy) {
            best = Some(Best { epoch, accuracy: Some(found.accuracy) });
        }
    }
    rows.iter().for_each(|row| observer.row(row, epochs));
    if best.is_some() {
        let sum = crc32c::crc32c(&run.weight_file("best", &weights)?);
        (run.position.best, run.position.best_file) = (best, Some(sum));
    }
    run.save_weights("last", &weights)?;
    run.position.begin_epoch(epoch, rows);
    let rows = &run.position.rows;
    let metrics = run.directory.metrics();
    run.write(&metrics, || metrics::to_csv(&metrics, rows))?;
    run.write(&run.directory.curves(), || Ok(report::curves(rows)?.into_bytes()))?;
    // After all of the above, so that a run that is killed before this point does it again.
    run.save_checkpoint()?;
    // A run that is killed here still has these weights in its checkpoint.
    if best.is_some() {
        run.save_weights("best", &weights)?;
    }
    // What is missing here is added when the run goes on.
    run.add_events()
}
