//! The end of a run: the test, the report and the result.

use super::evaluate::{evaluate_together, evaluation_batch};
use super::metrics::Row;
use super::observer::Observer;
use super::outcome::Outcome;
use super::position::Position;
use super::state::Run;
use crate::error::{Error, Result};
use crate::report;
use burn::module::Module;
use palinode::file::read;
use palinode::network::weights::replace;
use palinode::network::{WeightFile, count};
use palinode::residual::Residual;

/// Tests the weights of the best validation, if the settings say so, and writes report and result.
pub(super) fn conclude<R: Residual>(run: &Run<R>, observer: &mut dyn Observer) -> Result<Outcome> {
    let path = run.directory.weights("best");
    let best = run.machine.of_first(|| {
        if run.best_is_there() {
            return Ok(read(&path)?);
        }
        let reason =
            "missing, or not the file that this run wrote; put it back and go on with --resume";
        Err(Error::format(&path, reason))
    })?;
    let best = WeightFile::from_bytes(&best, &path)?;
    let network = replace(run.network.valid(), &best.arrays)?;
    let test = run.data.test.as_ref().filter(|_| run.settings.training.test);
    let tested = match test {
        Some(test) => {
            let (data, group) = (&best.data, run.machine.group.as_deref());
            let batch = evaluation_batch(run.machine.images(run.settings.training.batch_size));
            let found = evaluate_together(&network, test, data, batch, group);
            Some((test.as_ref(), found.map_err(|error| run.placed(error, "the test loss"))?))
        }
        None => None,
    };
    let found = tested.as_ref().map(|(_, found)| found);
    let Position { epoch, seconds, rows, best, tested_after, .. } = &run.position;
    let training: Vec<&Row> = rows.iter().filter(|row| row.split == "train").collect();
    let training_seconds: f64 = training.iter().map(|row| row.seconds).sum();
    let images = training.len() * run.data.epoch_images;
    let outcome = Outcome {
        run: run.directory.path().to_owned(),
        epochs: *epoch,
        parameters: count(&network).total,
        validation_accuracy: best.and_then(|best| best.accuracy),
        test_accuracy: found.map(|found| found.accuracy),
        test_loss: found.map(|found| found.loss),
        seconds: Some(*seconds),
        images_per_second: Some(images as f64 / training_seconds),
        peak_bytes: run.peak_bytes(observer),
        remarks: run.data.remarks.clone(),
        tested_after: tested_after.clone(),
    };
    let modes = run.network.modes();
    let page = report::Report {
        title: &run.title,
        outcome: &outcome,
        config: &run.config,
        modes: &modes,
        network: &network,
        rows,
        best: *best,
        tested: tested.as_ref().map(|(test, found)| (*test, found)),
    };
    run.write(&run.directory.report(), || Ok(page.to_html()?.into_bytes()))?;
    let result = run.directory.result();
    run.write(&result, || {
        serde_json::to_vec_pretty(&outcome)
            .map_err(|error| Error::format(&result, error.to_string()))
    })?;
    Ok(outcome)
}
