//! Runs the trials of an experiment and writes down their results.

use super::claims::Claims;
use super::finished::Finished;
use super::plan::{Plan, Trial};
use super::results::Results;
use crate::data::{Mean, Split};
use crate::error::{Error, Result};
use crate::recipe::{DataRecipe, Recipe};
use crate::train::{
    Changes, FirstReading, Lock, Machine, Observer, Outcome, RunDirectory, is_of_the_machine,
    read_position, resume, train,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Runs all trials of `plan` that are not finished in `out`, and writes table, figures and page after
/// each. A trial that was interrupted is resumed. The recipes of the plan are in `recipes`.
///
/// A trial whose loss becomes NaN or infinite, or whose states drift too far, is listed as failed, and the others are still run.
/// `before` is called before every trial that is run, with (number from 1, count, trial).
///
/// Where `machine` has several ranks, each trial is run by one of them, and a rank that is free takes the next one. All see
/// the directory `out`. The first rank writes the results and returns all of them; the others return none. Where one rank is
/// asked to stop, the others end the trials that they have begun.
///
/// # Errors
/// As [`train`]; [`palinode::Error::Config`] where `out` holds a run of the same name by another recipe, or
/// where another process works in it;
/// [`Error::Trials`] at the end, where a loss became infinite or states drifted.
pub fn run<O: Observer>(
    plan: &Plan,
    recipes: &Path,
    out: &Path,
    machine: impl Into<Machine>,
    observer: &mut O,
    mut before: impl FnMut(&mut O, (usize, usize), &Trial),
) -> Result<Vec<Finished>> {
    let machine = machine.into();
    let trials = plan.trials(recipes)?;
    let [directory, claimed] = ["runs", "claims"].map(|name| out.join(name));
    let mut results = Results { plan, out, finished: BTreeMap::new(), failed: Vec::new() };
    let mut lock = None;
    let missing = machine.of_first(|| {
        std::fs::create_dir_all(&directory).map_err(Error::io(&directory))?;
        let (taken, remark) = Lock::take(out)?;
        lock = Some(taken);
        remark.iter().for_each(|remark| observer.remark(remark));
        // What killed ranks have left there.
        Claims::clear(&claimed)?;
        let missing = begin(&trials, &directory, &mut results, observer)?;
        Ok(missing.into_iter().flat_map(|number| (number as u64).to_le_bytes()).collect())
    })?;
    let missing = missing.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes) as usize);
    let mut claims = match machine.is_alone() {
        true => None,
        false => Some(Claims::in_directory(&claimed)?),
    };
    if claims.is_some() {
        // A rank without a trial must not end before the others have saved theirs.
        observer.begins();
    }
    let (apart, mut stopped) = (machine.apart()?, false);
    for number in missing {
        let trial = &trials[number];
        stopped = observer.stop_requested() || claims.as_ref().is_some_and(Claims::is_stopped);
        if stopped {
            break;
        }
        if let Some(claims) = &mut claims
            && !claims.claim(&trial.directory)?
        {
            continue;
        }
        before(observer, (number + 1, trials.len()), trial);
        match run_trial(trial, &directory.join(&trial.directory), apart.clone(), observer) {
            Ok(outcome) => {
                results.finished.insert(number, Finished::read(trial, outcome)?);
            }
            Err(error @ (Error::NonFinite { .. } | Error::Drift { .. })) => {
                results.failed.push(format!("{}: {error}", trial.directory));
            }
            Err(Error::Interrupted { .. }) => {
                stopped = true;
                break;
            }
            Err(error) => return Err(error),
        }
        if machine.is_first() {
            results.write()?;
        }
    }
    if let Some(claims) = claims.as_ref().filter(|_| stopped) {
        claims.stop()?;
    }
    let [stopped] = machine.any([stopped]);
    results.failed = machine.gather(std::mem::take(&mut results.failed))?.concat();
    if !machine.is_first() {
        return Ok(Vec::new());
    }
    if let Some(claims) = claims {
        results.read_others(&trials, &directory)?;
        results.write()?;
        drop(claims);
        Claims::clear(&claimed)?;
    }
    drop(lock);
    match (stopped, results.failed.is_empty()) {
        (true, _) => Err(Error::ExperimentInterrupted),
        (false, true) => Ok(results.finished.into_values().collect()),
        (false, false) => Err(Error::Trials { failed: results.failed }),
    }
}

/// Reads what is finished, and checks the trials that are not; returns their numbers.
fn begin(
    trials: &[Trial],
    directory: &Path,
    results: &mut Results<'_>,
    observer: &mut dyn Observer,
) -> Result<Vec<usize>> {
    for (number, trial) in trials.iter().enumerate() {
        let path = directory.join(&trial.directory);
        check(trial, &path)?;
        if let Some(outcome) = Outcome::load(&RunDirectory::at(&path))? {
            let there = Recipe::load(&RunDirectory::at(&path).config(), &[])?;
            let there = there.training.device.unwrap_or_default();
            if there != trial.recipe.training.device.unwrap_or_default() {
                observer.remark(&format!(
                    "{} is finished; it was computed on {there}",
                    trial.directory
                ));
            }
            results.finished.insert(number, Finished::read(trial, outcome)?);
        }
    }
    let missing: Vec<usize> =
        (0..trials.len()).filter(|number| !results.finished.contains_key(number)).collect();
    // Mistakes are reported now, not after hours of training.
    for training in missing.iter().map(|&number| &trials[number].recipe.training) {
        training.precision.check_on(&training.device.unwrap_or_default().open()?)?;
    }
    let known = check_data(missing.iter().map(|&number| &trials[number]), observer)?;
    for &number in results.finished.keys() {
        check_images(&trials[number], &directory.join(&trials[number].directory), &known)?;
    }
    results.write()?;
    Ok(missing)
}

/// Runs a trial in `path`, or goes on with it.
fn run_trial(
    trial: &Trial,
    path: &Path,
    machine: Machine,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    if !RunDirectory::at(path).config().is_file() {
        return train(trial.recipe.clone(), path, machine, observer);
    }
    // The images may have moved.
    let changes = Changes::default()
        .with_data_dir(trial.recipe.data.dir.clone())
        .with_memory(trial.recipe.data.memory)
        .with_device(trial.recipe.training.device);
    resume(path, machine, &changes, observer)
}

/// The images of some trials.
struct KnownData {
    /// Where they are from, on all of them.
    recipe: DataRecipe,
    tested: bool,
    channels: usize,
    size: [usize; 2],
    classes: usize,
    /// Checksum of the training split.
    checksum: u32,
}

/// Whether the images of all trials can be read and suit their networks.
fn check_data<'a>(
    trials: impl Iterator<Item = &'a Trial>,
    observer: &mut dyn Observer,
) -> Result<Vec<KnownData>> {
    let mut progress = |done, pictures| observer.loading(done, pictures);
    let mut known: Vec<KnownData> = Vec::new();
    for trial in trials {
        let (recipe, tested) = (on_all_images(trial), trial.recipe.training.test);
        let found = known.iter().position(|data| data.recipe == recipe && data.tested == tested);
        let place = match found {
            Some(place) => place,
            None => {
                let mut read = |split| {
                    let images = recipe.load(split)?;
                    let mut reading = FirstReading::new(&Machine::default(), &mut progress);
                    let survey = reading.survey(images.as_ref(), &|_| false, Mean::Channel)?;
                    Ok::<_, Error>((images, survey))
                };
                if tested {
                    read(Split::Test)?;
                }
                let (images, survey) = read(Split::Train)?;
                known.push(KnownData {
                    tested,
                    channels: images.channels(),
                    size: images.size(),
                    classes: images.classes().len(),
                    checksum: survey.checksum(&images),
                    recipe,
                });
                known.len() - 1
            }
        };
        let KnownData { channels, size, classes, .. } = known[place];
        trial.recipe.network(channels, size, classes)?;
        trial.recipe.augmentation.check(size)?;
    }
    Ok(known)
}

/// The trial's images, whatever share of them it trains on.
fn on_all_images(trial: &Trial) -> DataRecipe {
    DataRecipe { subset: 1.0, validation: 0.1, ..trial.recipe.data.clone() }
}

/// Whether a finished run in `path` was trained on the images that the trials to come are trained on.
fn check_images(trial: &Trial, path: &Path, known: &[KnownData]) -> Result<()> {
    let recipe = on_all_images(trial);
    let Some(data) = known.iter().find(|data| data.recipe == recipe) else { return Ok(()) };
    // Runs of older versions have a checkpoint that cannot be read.
    let Ok(position) = read_position(&RunDirectory::at(path).checkpoint()) else { return Ok(()) };
    if position.training_checksum() == data.checksum {
        return Ok(());
    }
    let reason = format!(
        "{} was trained on other images than are there now; remove it, or name another directory",
        path.display()
    );
    Err(Error::config("data", reason))
}

/// Whether a run that is already there is one of this trial.
fn check(trial: &Trial, path: &Path) -> Result<()> {
    let config = RunDirectory::at(path).config();
    if !config.is_file() {
        let directory = RunDirectory::at(path);
        if directory.result().is_file() || directory.checkpoint().is_file() {
            let reason = "there is a run in this directory, but not the recipe it was run with";
            return Err(Error::format(config, reason));
        }
        return Ok(());
    }
    // Resolved, for a field that is younger than the run.
    let there = Recipe::load(&config, &[])?.resolved()?.fields()?;
    let here = trial.recipe.fields()?;
    // Where the images are, and what the machine has, may have changed. An instruction set that was asked for
    // is part of the recipe.
    let isa = trial.recipe.training.isa;
    let compared = |name: &str| match name {
        name if is_of_the_machine(name) => false,
        "training.isa" => isa.is_some(),
        _ => true,
    };
    let value = |fields: &[(String, String)], name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map_or("unset".to_owned(), |(_, value)| value.clone())
    };
    let mut names = there.iter().chain(&here).map(|(name, _)| name).filter(|name| compared(name));
    let Some(name) = names.find(|name| value(&there, name) != value(&here, name)) else {
        return Ok(());
    };
    Err(Error::config(
        "out",
        format!(
            "{} was run with another recipe than `{}` has now ({name} is {} there, {} here); remove it, \
             or name another directory",
            path.display(),
            trial.row,
            value(&there, name),
            value(&here, name)
        ),
    ))
}
