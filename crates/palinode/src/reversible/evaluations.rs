//! First evaluations of a unit's residuals, and second evaluations that give the same values.

use super::half::in_half;
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::pass::{Draw, Drawn, Kept, Moments, Pass, Phase, Place};
use crate::precision::NumberType;
use crate::residual::Residual;
use crate::scheme::{Evaluation, Grid, Role};
use burn::tensor::{DType, Tensor};
use palinode_kernels::Context;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The position of a unit's residuals in a network, and the probabilities of stochastic depth.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnitSite {
    /// Index of the unit, from 0.
    pub unit: usize,
    /// Number of residuals of the network's unit that come before these (those of its entry).
    pub first: usize,
    /// Probability that residual i is evaluated in training ([`Survival`]); empty: all are.
    pub survival: Arc<[f64]>,
    /// The type that the residuals are evaluated in for training.
    pub precision: NumberType,
    /// The grid that the state lies on in training; `None`: any numbers.
    pub grid: Option<Grid>,
    /// Whether each residual is evaluated once in its block.
    pub once: bool,
    /// In how many parts the reversible mode keeps the unit; 0 and 1: as a whole.
    pub parts: usize,
    /// Where drifts are recorded.
    pub watch: Option<Watch>,
}

impl UnitSite {
    /// The position of F or F* of residual `residual`.
    fn place(&self, residual: usize, role: Role) -> Place {
        let function = 2 * (self.first + residual) + usize::from(role == Role::Conjugate);
        Place::Unit { unit: self.unit, function }
    }

    /// The type that the residuals are evaluated in: for inference always f32, so that a weight file gives the same
    /// numbers wherever it is loaded.
    pub(crate) fn precision_in(&self, phase: Phase) -> NumberType {
        if phase.uses_batch() { self.precision } else { NumberType::F32 }
    }

    /// The grid that the state lies on: none for inference, for the same reason.
    pub(crate) fn grid_in(&self, phase: Phase) -> Option<Grid> {
        self.grid.filter(|_| phase.uses_batch())
    }

    /// What stochastic depth does to residual `residual`.
    fn survival(&self, phase: Phase, residual: usize) -> Survival {
        let Some(&probability) = self.survival.get(residual) else { return Survival::Whole };
        match phase.drawn() {
            _ if probability >= 1.0 => Survival::Whole,
            Some((seed, step)) => {
                let place = self.place(residual, Role::Forward);
                let drawn = Draw::new(seed, step, place, Drawn::Survival).share();
                if drawn < probability { Survival::Whole } else { Survival::Dropped }
            }
            None => Survival::Expected(probability),
        }
    }
}

/// What stochastic depth does to a residual in one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Survival {
    /// The residual is evaluated without change.
    Whole,
    /// The residual is dropped in this step.
    Dropped,
    /// The value is multiplied by the probability of an evaluation in training.
    Expected(f64),
}

impl Survival {
    /// What the residual's value is multiplied by.
    pub fn factor(self) -> f64 {
        match self {
            Self::Whole => 1.0,
            Self::Dropped => 0.0,
            Self::Expected(probability) => probability,
        }
    }
}

/// The batch statistics of the norms in a unit, or in a segment of one, from the first evaluations.
/// Second evaluations use them and so give the same values.
#[derive(Debug)]
pub struct Evaluations {
    phase: Phase,
    context: Context,
    site: UnitSite,
    /// By residual, whether it was evaluated as the conjugate, and evaluation of its block.
    kept: BTreeMap<(usize, bool, usize), Kept>,
}

impl Evaluations {
    /// An empty record.
    pub(crate) fn new(phase: Phase, context: &Context, site: UnitSite) -> Self {
        Self { phase, context: context.clone(), site, kept: BTreeMap::new() }
    }

    /// The grid of the unit's state.
    pub(crate) fn grid(&self) -> Option<Grid> {
        self.site.grid_in(self.phase)
    }

    /// The size of the kept statistics in bytes.
    pub fn bytes(&self) -> usize {
        self.kept.values().flat_map(BTreeMap::values).map(Moments::bytes).sum()
    }

    /// Makes the first evaluation of a residual, by `evaluate`, and keeps its statistics.
    pub(crate) fn first<T>(
        &mut self,
        evaluation: Evaluation,
        evaluate: impl FnOnce(&Pass, Survival) -> Result<T>,
    ) -> Result<T> {
        let Evaluation { residual, role, .. } = evaluation;
        let place = self.site.place(residual, role);
        let pass = Pass::first(self.phase, &self.context, place)
            .in_type(self.site.precision_in(self.phase));
        let value = evaluate(&pass, self.site.survival(self.phase, residual))?;
        pass.check()?;
        let kept = pass.into_kept();
        if !kept.is_empty() {
            self.kept.insert(key(evaluation), kept);
        }
        Ok(value)
    }

    /// Makes a second evaluation of a residual, by `evaluate`.
    pub(crate) fn again<T>(
        &self,
        evaluation: Evaluation,
        evaluate: impl FnOnce(&Pass, Survival) -> Result<T>,
    ) -> Result<T> {
        // A residual without norms has kept nothing.
        let kept = self.kept.get(&key(evaluation)).cloned();
        let Evaluation { residual, role, .. } = evaluation;
        let place = self.site.place(residual, role);
        // The unit's node sends the sums of all evaluations to other ranks.
        let context = self.context.within_node(self.site.once);
        let pass = Pass::again(self.phase, &context, place, kept.unwrap_or_else(Kept::new));
        let pass = pass.in_type(self.site.precision_in(self.phase));
        let value = evaluate(&pass, self.site.survival(self.phase, residual))?;
        pass.check()?;
        Ok(value)
    }

    /// The name of a residual of this unit in messages.
    pub(crate) fn name<R: Residual>(&self, residual: usize) -> ResidualPlace {
        ResidualPlace {
            residual: std::any::type_name::<R>(),
            index: self.site.first + residual,
            unit: self.site.unit,
        }
    }

    /// The first evaluation of F(x) or F*(x), under stochastic depth.
    pub(crate) fn first_value<R: Residual>(
        &mut self,
        residual: &R,
        evaluation: Evaluation,
        x: Tensor<4>,
    ) -> Result<Tensor<4>> {
        let name = self.name::<R>(evaluation.residual);
        self.first(evaluation, |pass, survival| {
            surviving_value((residual, &name), evaluation.role, x, (pass, survival))
        })
    }

    /// A second evaluation of F(x) or F*(x), under stochastic depth.
    pub(crate) fn value_again<R: Residual>(
        &self,
        residual: &R,
        evaluation: Evaluation,
        x: Tensor<4>,
    ) -> Result<Tensor<4>> {
        let name = self.name::<R>(evaluation.residual);
        self.again(evaluation, |pass, survival| {
            surviving_value((residual, &name), evaluation.role, x, (pass, survival))
        })
    }
}

/// Where the statistics of an evaluation are kept.
fn key(Evaluation { residual, role, stage }: Evaluation) -> (usize, bool, usize) {
    (residual, role == Role::Conjugate, stage)
}

/// The name of a residual in messages, written only where there is one.
#[derive(Clone, Copy)]
pub(crate) struct ResidualPlace {
    /// Its type.
    pub residual: &'static str,
    /// Its index in the unit, the entry's residuals counted too.
    pub index: usize,
    pub unit: usize,
}

impl fmt::Display for ResidualPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, residual {} of unit {}", self.residual, self.index, self.unit)
    }
}

/// F(x) or F*(x) of `residual`, which messages call `name`.
///
/// # Errors
/// [`Error::Residual`] if the value does not have the shape and the element type of x.
pub(crate) fn value_of<R: Residual>(
    (residual, name): (&R, &dyn fmt::Display),
    role: Role,
    x: Tensor<4>,
    pass: &Pass,
) -> Result<Tensor<4>> {
    let (shape, dtype) = (x.dims(), x.dtype());
    let evaluate = |residual: &R, x: Tensor<4>| match role {
        Role::Forward => residual.forward(x, pass),
        Role::Conjugate => residual.conjugate(x, pass),
    };
    let Some(half) = pass.precision().half() else {
        let value = evaluate(residual, x);
        check_like(name, "returned", &value, (shape, dtype))?;
        return Ok(value);
    };
    let value = evaluate(&in_half(residual, half), x.cast(half));
    check_like(name, "returned", &value, (shape, half))?;
    Ok(value.cast(dtype))
}

/// Checks the shape and the element type of what a residual called `name` has made; `verb` says what it did.
///
/// # Errors
/// [`Error::Residual`].
pub(crate) fn check_like(
    name: &dyn fmt::Display,
    verb: &str,
    value: &Tensor<4>,
    (shape, dtype): ([usize; 4], DType),
) -> Result<()> {
    if (value.dims(), value.dtype()) == (shape, dtype) {
        return Ok(());
    }
    Err(Error::Residual {
        residual: name.to_string(),
        reason: format!(
            "{verb} {:?} in {:?} where {shape:?} in {dtype:?} is expected; a residual must keep shape and \
             type",
            value.dims(),
            value.dtype()
        ),
    })
}

/// [`value_of`] under stochastic depth.
pub(crate) fn surviving_value<R: Residual>(
    residual: (&R, &dyn fmt::Display),
    role: Role,
    x: Tensor<4>,
    (pass, survival): (&Pass, Survival),
) -> Result<Tensor<4>> {
    match survival {
        Survival::Whole => value_of(residual, role, x, pass),
        Survival::Dropped => Ok(x.zeros_like()),
        Survival::Expected(probability) => Ok(value_of(residual, role, x, pass)? * probability),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_are_dropped_in_training_and_scaled_in_other_phases() {
        let survival: Arc<[f64]> = vec![1.0, 0.25].into();
        let site = UnitSite { survival, ..UnitSite::default() };
        assert_eq!(site.survival(Phase::Inference, 1), Survival::Expected(0.25));
        let steps = 4000;
        let counted = |residual| {
            let phases = (0..steps).map(|step| Phase::Training { seed: 9, step });
            phases.filter(|&phase| site.survival(phase, residual) == Survival::Whole).count()
        };
        assert_eq!(counted(0), steps as usize);
        // Four standard deviations of a binomial distribution are 110.
        assert!(counted(1).abs_diff(1000) < 110, "{} of {steps}", counted(1));
    }
}
