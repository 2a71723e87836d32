//! The reversal of units over a run: the grids of their states, how far these drift, and what is done about it.

use super::evaluate::cross_entropy;
use super::gradients::ParameterGradients;
use super::observer::Observer;
use super::state::Run;
use super::training_data::TrainingData;
use crate::data::{Batch, Batches};
use crate::error::{Error, Result};
use crate::recipe::{OnDrift, TrainingRecipe};
use burn::tensor::Device;
use palinode::check::repeats;
use palinode::device::is_cpu;
use palinode::network::weights::{Arrays, collect_gradients};
use palinode::network::{Network, Phase, StateKind, Unit};
use palinode::residual::Residual;
use palinode::reversible::{Differentiation, Watch};
use palinode::scheme::Grid;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Training images that grids are chosen on, if a batch has so many. They are not augmented.
const IMAGES: usize = 64;

/// Training images whose gradients are compared, if the states that this keeps take no more memory than those of a few
/// batches.
const GRADIENT_IMAGES: usize = 16;

/// Steps between two looks on a device that is not the CPU, where each one waits for everything that is still to do. They
/// are counted from the beginning of the epoch, so that a run that was interrupted looks at the same steps.
const STEPS: usize = 20;

/// The first training images, as a batch.
fn sample(data: &TrainingData, images: usize, device: &Device) -> Result<Option<Batch>> {
    Batches::in_order(Arc::clone(&data.training), data.info(), images).next_on(device)
}

/// A network at the beginning of a run, with the states that the settings ask for.
pub(super) fn with_states<R: Residual>(
    network: Network<R>,
    training: &TrainingRecipe,
    data: &TrainingData,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Network<R>> {
    let mut modes = network.units.iter().map(|unit| unit.mode());
    let usual = match modes.any(|mode| mode == Differentiation::Reversible) {
        true => StateKind::Exact,
        false => StateKind::Float,
    };
    let kind = training.state.unwrap_or(usual);
    let images = IMAGES.min(training.batch_size);
    let Some(batch) = sample(data, images, device)? else { return Ok(network) };
    if kind == StateKind::Float {
        return Ok(network);
    }
    let repeated = repeats(&network, batch.images.clone())?;
    let network = network.with_state(kind, batch.images)?;
    let mut grids = network.grids();
    for (unit, (grid, repeats)) in grids.iter_mut().zip(repeated).enumerate() {
        let reason = match (network.units[unit].scheme().is_reversible(), repeats, &grid) {
            (false, ..) | (true, true, Some(_)) => continue,
            (true, false, _) => "its residuals do not give the same bits twice",
            (true, true, None) => "its states are too large",
        };
        observer.remark(&format!("unit {unit} cannot be exact: {reason}; its states are float"));
        *grid = None;
    }
    Ok(network.with_grids(&grids)?)
}

/// How far apart the numbers of a grid are, and how far they reach, for people.
fn described(grid: Option<Grid>) -> String {
    match grid {
        Some(grid) => {
            format!("multiples of {:.1e}, exact up to ±{}", grid.spacing(), grid.range())
        }
        None => "float".to_owned(),
    }
}

/// Watches the units of a run.
pub(super) struct Reversal {
    watch: Watch,
    on_drift: OnDrift,
    tolerance: f64,
    gradient_tolerance: f64,
    /// Steps between two looks.
    every: usize,
    /// What has been said already.
    said: BTreeSet<(usize, &'static str)>,
}

/// What repeats a step: the gradients of a network.
pub(super) type Again<'a, R> = dyn Fn(&Network<R>) -> Result<ParameterGradients> + 'a;

impl Reversal {
    /// Watches the units of `run` from now on.
    pub fn of<R: Residual>(run: Run<R>) -> (Self, Run<R>) {
        let TrainingRecipe { reversal_on_drift, reversal_tolerance, gradient_tolerance, .. } =
            run.settings.training;
        let watch = Watch::new();
        let every = if is_cpu(&run.device()) { 1 } else { STEPS };
        let network = run.network.with_watch(Some(&watch));
        let own = Self {
            watch,
            on_drift: reversal_on_drift,
            tolerance: reversal_tolerance,
            gradient_tolerance,
            every,
            said: BTreeSet::new(),
        };
        (own, Run { network, ..run })
    }

    /// Whether the step that is under way, in an epoch of `steps`, is one to [examine](Self::examine). If so, the drifts
    /// of the steps before it are read now: they count as those of the epoch, but nothing is done about them.
    ///
    /// # Errors
    /// [`palinode::Error::Device`] if the device fails.
    pub fn is_due<R: Residual>(&self, run: &mut Run<R>, steps: usize) -> Result<bool> {
        let step = run.position.step + 1;
        let due = step.is_multiple_of(self.every) || step == steps;
        if due && self.every > 1 {
            self.read(run)?;
        }
        Ok(due)
    }

    /// Looks at the drifts of the step that is under way. Where one is beyond the tolerance, does what the settings say;
    /// returns the gradients of the repeated step, if that changed a unit.
    ///
    /// # Errors
    /// [`Error::Drift`] if the run is to stop, or if a unit drifts however many parts it is kept in; as
    /// [`Network::forward`].
    pub fn examine<R: Residual>(
        &mut self,
        run: &mut Run<R>,
        again: &Again<'_, R>,
        observer: &mut dyn Observer,
    ) -> Result<Option<ParameterGradients>> {
        let drifts = self.read(run)?;
        coarsen(run, &drifts, observer)?;
        let beyond = |drifts: &[f64], tolerance| drifts.iter().position(|drift| *drift > tolerance);
        if beyond(&drifts, self.tolerance).is_none() {
            return Ok(None);
        }
        // Where a state left the range of its grid, coarser ones may be enough.
        let (mut found, mut better) = (drifts, None);
        while let Some(unit) = beyond(&found, self.tolerance) {
            match self.on_drift {
                OnDrift::Stop if run.network.units[unit].grid().is_none() => {
                    return Err(self.drifted(run, unit, found[unit]));
                }
                OnDrift::Report if run.network.units[unit].grid().is_none() => {
                    let drift = found[unit];
                    self.say(
                        (unit, "drift"),
                        || format!("{}; its gradients are wrong", drifts_by(run, unit, drift)),
                        observer,
                    );
                    found[unit] = 0.0;
                    continue;
                }
                OnDrift::Checkpoint if run.network.units[unit].grid().is_none() => {
                    let remark = drifts_by(run, unit, found[unit]);
                    let parts = self.cut(run, unit, again)?;
                    observer.remark(&format!("{remark}; it is kept in {parts} parts from now on"));
                }
                _ => (),
            }
            let gradients = again(&run.network)?;
            found = self.watch.read(run.network.units.len())?;
            coarsen(run, &found, observer)?;
            better = Some(gradients);
        }
        Ok(better)
    }

    /// At the end of an epoch: gives units coarser grids whose states have grown, and compares gradients with those
    /// at states that drift less. Returns the largest relative difference, if there was something to compare.
    ///
    /// # Errors
    /// As [`examine`](Self::examine).
    pub fn end_epoch<R: Residual>(
        &mut self,
        run: &mut Run<R>,
        observer: &mut dyn Observer,
    ) -> Result<Option<f64>> {
        self.widen(run, observer)?;
        let parts = run.network.units.iter().map(more_parts).max().unwrap_or(1);
        let images = 4 * run.settings.training.batch_size / parts.max(1);
        let images = images.clamp(1, GRADIENT_IMAGES);
        let Some(batch) = sample(&run.data, images, &run.device())? else { return Ok(None) };
        let mut found = None;
        while let Some(differences) = gradient_differences(&run.network, &batch)? {
            let largest = differences.iter().copied().fold(0.0, f64::max);
            // An infinite number could not be saved.
            found.get_or_insert(largest.min(f64::MAX));
            // What a unit passes on disturbs the units before it, so the last one is mended first.
            let beyond = differences.iter().rposition(|own| *own > self.gradient_tolerance);
            let Some(unit) = beyond else { break };
            let what = format!(
                "unit {unit}: the gradients at reconstructed states differ by {:.1e} from those at states that \
                 are kept more often",
                differences[unit]
            );
            match self.on_drift {
                OnDrift::Stop => {
                    let drift = differences[unit];
                    return Err(Error::Drift {
                        what: "the gradient at reconstructed states differs from that at kept ones",
                        unit,
                        drift,
                        place: format!("after epoch {}", run.position.epoch + 1),
                    });
                }
                OnDrift::Report => {
                    self.say((unit, "gradient"), || what, observer);
                    break;
                }
                OnDrift::Checkpoint => {
                    let now = run.network.units[unit].parts();
                    keep(run, unit, 2 * now)?;
                    let parts = run.network.units[unit].parts();
                    if parts == now {
                        // What disturbs it comes from the units behind it, which are within the tolerance.
                        break;
                    }
                    observer.remark(&format!("{what}; it is kept in {parts} parts from now on"));
                }
            }
        }
        // Nothing of this belongs to the next step.
        self.watch.read(0)?;
        Ok(found)
    }

    /// The drifts since the last call, which also count as those of the epoch.
    fn read<R: Residual>(&self, run: &mut Run<R>) -> Result<Vec<f64>> {
        let found = self.watch.read(run.network.units.len())?;
        let mut modes = run.network.units.iter().map(|unit| unit.mode());
        if !modes.any(|mode| mode == Differentiation::Reversible) {
            return Ok(found);
        }
        let drifts = &mut run.position.drifts;
        drifts.resize(found.len(), 0.0);
        for (largest, drift) in drifts.iter_mut().zip(&found) {
            // An infinite number could not be saved.
            *largest = largest.max(drift.min(f64::MAX));
        }
        Ok(found)
    }

    /// Keeps a unit in as few parts as bring its drift below the tolerance.
    fn cut<R: Residual>(
        &self,
        run: &mut Run<R>,
        unit: usize,
        again: &Again<'_, R>,
    ) -> Result<usize> {
        let drift_in = |run: &mut Run<R>, parts: usize| -> Result<f64> {
            keep(run, unit, parts)?;
            again(&run.network)?;
            Ok(self.watch.read(unit + 1)?.pop().unwrap_or(f64::INFINITY))
        };
        let most = run.network.units[unit].blocks();
        let mut too_few = run.network.units[unit].parts();
        let mut enough = (2 * too_few).min(most);
        loop {
            let drift = drift_in(run, enough)?;
            if drift <= self.tolerance {
                break;
            }
            if enough == most {
                return Err(self.drifted(run, unit, drift));
            }
            (too_few, enough) = (enough, (2 * enough).min(most));
        }
        while enough - too_few > 1 {
            let between = usize::midpoint(too_few, enough);
            match drift_in(run, between)? <= self.tolerance {
                true => enough = between,
                false => too_few = between,
            }
        }
        keep(run, unit, enough)?;
        Ok(enough)
    }

    /// Gives units coarser grids whose states come within a factor of two of the end of theirs. A unit whose states are
    /// too large for any grid has none from now on.
    fn widen<R: Residual>(&mut self, run: &mut Run<R>, observer: &mut dyn Observer) -> Result<()> {
        let mut grids = run.network.grids();
        if grids.iter().all(Option::is_none) {
            return Ok(());
        }
        let images = IMAGES.min(run.settings.training.batch_size);
        let Some(batch) = sample(&run.data, images, &run.device())? else { return Ok(()) };
        let largest = run.network.largest_states(batch.images)?;
        for (unit, (grid, largest)) in grids.iter_mut().zip(largest).enumerate() {
            let Some(own) = *grid else { continue };
            if 2.0 * largest > f64::from(own.range()) {
                *grid = Grid::for_states(largest);
                observer.remark(&format!(
                    "unit {unit}: states have grown to {largest:.3}; they are {} from now on",
                    described(*grid)
                ));
            }
        }
        run.position.grids = fractions(&grids);
        run.network = run.network.clone().with_grids(&grids)?;
        Ok(())
    }

    fn drifted<R: Residual>(&self, run: &Run<R>, unit: usize, drift: f64) -> Error {
        let what = "the state that came back differs from that of the forward pass";
        Error::Drift { what, unit, drift, place: place(run) }
    }

    /// Says something once in a run.
    fn say(
        &mut self,
        what: (usize, &'static str),
        text: impl FnOnce() -> String,
        observer: &mut dyn Observer,
    ) {
        if self.said.insert(what) {
            observer.remark(&text());
        }
    }
}

/// Gives a unit a coarser grid whose state has not come back to the bit, from the next step on.
fn coarsen<R: Residual>(
    run: &mut Run<R>,
    drifts: &[f64],
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut grids = run.network.grids();
    for (unit, &drift) in drifts.iter().enumerate().filter(|(_, drift)| **drift > 0.0) {
        let Some(own) = grids.get(unit).copied().flatten() else { continue };
        let coarser = own.coarser();
        observer.remark(&format!(
            "{}; its states are {} from now on",
            drifts_by(run, unit, drift),
            described(coarser)
        ));
        grids[unit] = coarser;
    }
    if grids != run.network.grids() {
        run.position.grids = fractions(&grids);
        run.network = run.network.clone().with_grids(&grids)?;
    }
    Ok(())
}

/// Keeps a unit in so many parts, from now on and after resuming.
fn keep<R: Residual>(run: &mut Run<R>, unit: usize, parts: usize) -> Result<()> {
    let mut all: Vec<usize> = run.network.units.iter().map(|unit| unit.parts()).collect();
    if let Some(own) = all.get_mut(unit) {
        *own = parts;
    }
    run.network = run.network.clone().with_parts(&all)?;
    run.position.parts = run.network.units.iter().map(|unit| unit.parts()).collect();
    Ok(())
}

fn drifts_by<R: Residual>(run: &Run<R>, unit: usize, drift: f64) -> String {
    format!(
        "unit {unit}: the state that came back in {} differs by {drift:.1e} from that of the forward pass",
        place(run)
    )
}

/// Where a run stands, for people.
fn place<R: Residual>(run: &Run<R>) -> String {
    format!("epoch {}, step {}", run.position.epoch + 1, run.position.step + 1)
}

/// Grids as a checkpoint holds them: their binary places.
pub(super) fn fractions(grids: &[Option<Grid>]) -> Vec<Option<i32>> {
    grids.iter().map(|grid| grid.map(Grid::fraction)).collect()
}

/// In how many parts a unit is kept to compare its gradients: its states then drift by much less.
fn more_parts<R: Residual>(unit: &Unit<R>) -> usize {
    let root = (unit.blocks() as f64).sqrt().ceil() as usize;
    (4 * unit.parts()).max(root).min(unit.blocks())
}

/// For every unit, the relative difference of its parameters' gradients from those of units that are kept in
/// [`more_parts`]; `None` if no unit reconstructs states that are not on a grid.
fn gradient_differences<R: Residual>(
    network: &Network<R>,
    batch: &Batch,
) -> Result<Option<Vec<f64>>> {
    let reconstructs = network.units.iter().any(|unit| {
        unit.mode() == Differentiation::Reversible
            && unit.grid().is_none()
            && unit.parts() < unit.blocks()
    });
    if !reconstructs {
        return Ok(None);
    }
    let gradients = |network: &Network<R>| -> Result<Arrays> {
        let logits = network.forward(batch.images.clone(), Phase::BatchStatistics)?;
        let loss = cross_entropy(logits, batch.labels.clone());
        Ok(collect_gradients(network, &loss.backward()))
    };
    let kept: Vec<usize> = network.units.iter().map(more_parts).collect();
    let kept = gradients(&network.clone().with_parts(&kept)?)?;
    let found = gradients(network)?;
    let of_unit = |unit: usize| {
        let prefix = format!("units.{unit}.");
        let (mut change, mut square) = (0.0, 0.0);
        for (name, truth) in kept.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            let own = found.get(name).map_or(&[][..], |own| &own.values);
            for (own, truth) in own.iter().zip(&truth.values) {
                change += f64::from(own - truth).powi(2);
                square += f64::from(*truth).powi(2);
            }
        }
        palinode_kernels::projection::relative(change, square)
    };
    Ok(Some((0..network.units.len()).map(of_unit).collect()))
}
