//! One pass through a network, and what has to be the same where a part of it is evaluated again.
//!
//! The reversible and checkpointed modes evaluate every residual a second time, on the way back.
//! [`BatchNorm`](crate::norm::BatchNorm) and [`Dropout`](crate::dropout::Dropout) inside a residual
//! ask the [`Pass`] they are given: in the first evaluation a norm's batch statistics are computed,
//! kept (two numbers per channel) and the running ones moved; in a second one the kept ones are used
//! and nothing moves. A dropout keeps nothing: its mask is a function of seed, step, layer and
//! element.

use crate::random::{Generator, Purpose};
use crate::residual::Role;
pub use palinode_kernels::norm::Statistics;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The batch's statistics in every norm, the running ones move towards them, and dropouts draw
    /// the masks of this seed and step.
    Training {
        /// Seed of the run.
        seed: u64,
        /// Optimiser steps before this one: every step has masks of its own.
        step: u64,
    },
    /// The batch's statistics; nothing is updated and nothing dropped.
    BatchStatistics,
    /// The running statistics; nothing is updated and nothing dropped.
    Inference,
}

/// Statistics of one norm over a batch, shared by the evaluations that use them.
type Shared = Arc<[Statistics]>;

/// One evaluation of a residual, or of a layer outside the units.
///
/// A residual hands it on to its norms and dropouts, in the same order every time.
#[derive(Debug)]
pub struct Pass {
    phase: Phase,
    layer: u64,
    /// Dropouts that have been asked for so far.
    draws: Cell<u64>,
    /// Whether this evaluation repeats another one.
    again: bool,
    statistics: RefCell<Vec<Shared>>,
    /// In a repetition, norms that have been asked for so far.
    next: Cell<usize>,
}

impl Pass {
    /// The first evaluation of layer `layer` in a pass for `phase`. Layers of one network that draw
    /// random numbers have different `layer`s below 2²⁰.
    pub fn first(phase: Phase, layer: u64) -> Self {
        Self {
            phase,
            layer,
            draws: Cell::new(0),
            again: false,
            statistics: RefCell::default(),
            next: Cell::new(0),
        }
    }

    /// A repetition of an evaluation that kept `kept`.
    fn again(phase: Phase, layer: u64, kept: Vec<Shared>) -> Self {
        Self { again: true, statistics: RefCell::new(kept), ..Self::first(phase, layer) }
    }

    /// What the whole pass is for.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a norm's running statistics move in this evaluation.
    pub(crate) fn moves_running_statistics(&self) -> bool {
        matches!(self.phase, Phase::Training { .. }) && !self.again
    }

    /// A norm's statistics over the batch: those of the first evaluation, by `compute` if this is it.
    pub(crate) fn batch_statistics(&self, compute: impl FnOnce() -> Vec<Statistics>) -> Shared {
        let place = self.next.replace(self.next.get() + 1);
        let known = self.statistics.borrow().get(place).cloned();
        known.unwrap_or_else(|| {
            let found: Shared = compute().into();
            self.statistics.borrow_mut().push(Arc::clone(&found));
            found
        })
    }

    /// The random numbers of the next draw in this evaluation; none outside training.
    pub(crate) fn draw(&self) -> Option<Draw> {
        let Phase::Training { seed, step } = self.phase else { return None };
        let draw = self.draws.replace(self.draws.get() + 1);
        Some(Draw { seed, step, place: (self.layer << 6) | (draw & 63) })
    }

    fn into_kept(self) -> Vec<Shared> {
        self.statistics.into_inner()
    }
}

/// Random numbers of one layer in one step, by the element they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    seed: u64,
    step: u64,
    /// Layer and number of the draw in it, below 2²⁶.
    place: u64,
}

impl Draw {
    /// Numbers of 32 bits from that of element `element` (below 2⁴⁰) on.
    pub fn from(self, element: usize) -> Generator {
        let mut generator = Generator::with_stream(self.seed, Purpose::Dropout, self.step);
        generator.seek_word((u128::from(self.place) << 40) + element as u128);
        generator
    }
}

/// Where a unit's residuals stand and how likely they take part: what their passes have in common.
#[derive(Clone, Debug)]
pub(crate) struct UnitSite {
    /// The unit, from 0.
    pub unit: usize,
    /// Residuals of the network's unit that come before these.
    pub first: usize,
    /// Probability that residual i is evaluated in training ([`Survival`]); empty: all are.
    pub survival: Arc<[f64]>,
}

/// What stochastic depth does to a residual in one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Survival {
    /// Evaluated as it is.
    Whole,
    /// Left out of this step.
    Dropped,
    /// Evaluated, times the probability that it is there in training.
    Expected(f64),
}

/// What a unit (or a segment of one) keeps of its first evaluations beside a state, so that they can
/// be repeated.
#[derive(Debug)]
pub struct Memory {
    phase: Phase,
    site: UnitSite,
    /// By residual and role.
    kept: Vec<Vec<Shared>>,
}

impl Memory {
    /// Nothing yet.
    pub(crate) fn new(phase: Phase, site: UnitSite) -> Self {
        Self { phase, site, kept: Vec::new() }
    }

    /// Bytes of the kept statistics.
    pub fn bytes(&self) -> usize {
        let statistics = self.kept.iter().flatten().map(|norm| norm.len());
        statistics.sum::<usize>() * size_of::<Statistics>()
    }

    /// Evaluates residual `residual` for the first time.
    pub(crate) fn first<T>(
        &mut self,
        residual: usize,
        role: Role,
        evaluate: impl FnOnce((&Pass, Survival)) -> T,
    ) -> T {
        let pass = Pass::first(self.phase, self.layer(residual, role));
        let value = evaluate((&pass, self.survival(residual)));
        let kept = pass.into_kept();
        if !kept.is_empty() {
            let place = place(residual, role);
            if self.kept.len() <= place {
                self.kept.resize_with(place + 1, Vec::new);
            }
            self.kept[place] = kept;
        }
        value
    }

    /// Evaluates it again.
    pub(crate) fn again<T>(
        &self,
        residual: usize,
        role: Role,
        evaluate: impl FnOnce((&Pass, Survival)) -> T,
    ) -> T {
        let kept = self.kept.get(place(residual, role)).cloned().unwrap_or_default();
        let pass = Pass::again(self.phase, self.layer(residual, role), kept);
        evaluate((&pass, self.survival(residual)))
    }

    /// A number of its own for every function of every residual of a network.
    fn layer(&self, residual: usize, role: Role) -> u64 {
        let residual = self.site.first + residual;
        ((place(residual, role) as u64) << 2) | (self.site.unit as u64 & 3)
    }

    fn survival(&self, residual: usize) -> Survival {
        let probability = self.site.survival.get(residual).copied().unwrap_or(1.0);
        match self.phase {
            _ if probability >= 1.0 => Survival::Whole,
            Phase::Training { seed, step } => {
                // The last of the layer's draws, which no dropout comes to.
                let place = (self.layer(residual, Role::Forward) << 6) | 63;
                let share = f64::from(Draw { seed, step, place }.from(0).word());
                let drawn = share / (f64::from(u32::MAX) + 1.0);
                if drawn < probability { Survival::Whole } else { Survival::Dropped }
            }
            Phase::BatchStatistics | Phase::Inference => Survival::Expected(probability),
        }
    }
}

fn place(residual: usize, role: Role) -> usize {
    2 * residual + usize::from(role == Role::Conjugate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(mean: f64) -> Vec<Statistics> {
        vec![Statistics { mean, variance: 1.0 }]
    }

    #[test]
    fn a_repetition_sees_the_first_statistics_and_moves_nothing() {
        let phase = Phase::Training { seed: 3, step: 4 };
        let mut memory = Memory::new(phase, UnitSite { unit: 1, first: 0, survival: [].into() });
        let norms = |pass: &Pass, means: [f64; 2]| {
            means.map(|mean| pass.batch_statistics(|| statistics(mean))[0].mean)
        };
        let first = memory.first(5, Role::Conjugate, |(pass, _)| {
            assert!(pass.moves_running_statistics());
            (norms(pass, [1.0, 2.0]), pass.draw(), pass.draw())
        });
        let again = memory.again(5, Role::Conjugate, |(pass, _)| {
            assert!(!pass.moves_running_statistics());
            (norms(pass, [8.0, 9.0]), pass.draw(), pass.draw())
        });
        assert_eq!(first, again);
        assert_ne!(first.1, first.2, "two dropouts of one residual draw the same mask");
        assert_eq!(memory.bytes(), 2 * size_of::<Statistics>());
        let other =
            memory.again(5, Role::Forward, |(pass, _)| (norms(pass, [8.0, 9.0]), pass.draw()));
        assert_eq!(other.0, [8.0, 9.0]);
        assert_ne!(other.1, first.1);
    }

    #[test]
    fn survival_is_drawn_in_training_and_expected_elsewhere() {
        let survival: Arc<[f64]> = vec![1.0, 0.25].into();
        let drawn = |phase, residual| {
            Memory::new(phase, UnitSite { unit: 0, first: 0, survival: survival.clone() })
                .survival(residual)
        };
        assert_eq!(drawn(Phase::Inference, 1), Survival::Expected(0.25));
        let steps = 4000;
        let counted = |residual| {
            let phases = (0..steps).map(|step| Phase::Training { seed: 9, step });
            phases.filter(|&phase| drawn(phase, residual) == Survival::Whole).count()
        };
        assert_eq!(counted(0), steps as usize);
        // Four standard deviations of a binomial distribution are 110.
        assert!(counted(1).abs_diff(1000) < 110, "{} of {steps}", counted(1));
    }
}
