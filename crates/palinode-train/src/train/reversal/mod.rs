//! The reversal of units over a run: how far their states drift, and what is done about it.

mod gradients;
mod grids;
mod limits;
mod sample;
mod wording;

use super::gradients::ParameterGradients;
use super::observer::Observer;
use super::readings::steps_between;
use super::state::Run;
use crate::error::{Error, Result};
use crate::recipe::{OnDrift, TrainingRecipe};
pub(super) use grids::{fractions, with_states};
use palinode::network::Network;
use palinode::residual::Residual;
use palinode::reversible::{Differentiation, Watch};
pub(super) use sample::sample;
use std::collections::BTreeSet;
use wording::{drifts_by, place};

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

/// What is said of a unit whose step is beyond the limit of its scheme.
const LIMIT: &str = "limit";

/// What repeats a step: the gradients of a network.
pub(super) type Again<'a, R> = dyn Fn(&Network<R>) -> Result<ParameterGradients> + 'a;

impl Reversal {
    /// Watches the units of `run` from now on.
    pub fn of<R: Residual>(run: Run<R>) -> (Self, Run<R>) {
        let TrainingRecipe { reversal_on_drift, reversal_tolerance, gradient_tolerance, .. } =
            run.settings.training;
        let watch = Watch::new();
        let every = steps_between(&run.device());
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

    /// Says, once for each unit, that its weights have left the range where its scheme is sure to be stable.
    ///
    /// # Errors
    /// [`palinode::Error::Device`] if the device fails.
    pub fn check_limits<R: Residual>(
        &mut self,
        run: &Run<R>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let said = |unit| self.said.contains(&(unit, LIMIT));
        for (unit, text) in limits::beyond(run, said)? {
            self.say((unit, LIMIT), || text, observer);
        }
        Ok(())
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
        let mut found = self.read(run)?;
        let mut better = None;
        loop {
            // Where a state left the range of its grid, a coarser one may be enough.
            grids::coarsen(run, &found, observer)?;
            let Some(unit) = found.iter().position(|drift| *drift > self.tolerance) else { break };
            if run.network.units[unit].grid().is_none() {
                let drift = found[unit];
                match self.on_drift {
                    OnDrift::Stop => {
                        return Err(Error::state_drift(unit, drift, place(run)));
                    }
                    OnDrift::Report => {
                        let text =
                            || format!("{}; its gradients are wrong", drifts_by(run, unit, drift));
                        self.say((unit, "drift"), text, observer);
                        found[unit] = 0.0;
                        continue;
                    }
                    OnDrift::Checkpoint => {
                        let remark = drifts_by(run, unit, drift);
                        let parts = self.cut(run, unit, again)?;
                        observer
                            .remark(&format!("{remark}; it is kept in {parts} parts from now on"));
                    }
                }
            }
            better = Some(again(&run.network)?);
            found = self.watch.read(run.network.units.len())?;
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
        self.check_limits(run, observer)?;
        grids::widen(run, observer)?;
        let found = self.compare_gradients(run, observer)?;
        // Nothing of this belongs to the next step.
        self.watch.read(0)?;
        Ok(found)
    }

    /// Compares gradients, and does what the settings say where they differ by too much.
    fn compare_gradients<R: Residual>(
        &mut self,
        run: &mut Run<R>,
        observer: &mut dyn Observer,
    ) -> Result<Option<f64>> {
        if !gradients::reconstructs(&run.network) {
            return Ok(None);
        }
        let images = gradients::images(&run.network, run.settings.training.batch_size);
        let Some(batch) = sample(&run.data, images, &run.device())? else { return Ok(None) };
        let mut found = None;
        while gradients::reconstructs(&run.network) {
            let differences = gradients::differences(&run.network, &batch)?;
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
        Ok(found)
    }

    /// The drifts since the last call, which also count as those of the epoch.
    fn read<R: Residual>(&self, run: &mut Run<R>) -> Result<Vec<f64>> {
        let found = self.watch.read(run.network.units.len())?;
        if !run.network.modes().any(Differentiation::Reversible) {
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
                return Err(Error::state_drift(unit, drift, place(run)));
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
