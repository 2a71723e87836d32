//! The context of one evaluation of a residual, and the statistics that a second evaluation repeats.
//!
//! The reversible and checkpointed modes evaluate every residual a second time in the backward pass.
//! [`BatchNorm`](crate::norm::BatchNorm) and [`Dropout`](crate::dropout::Dropout) inside a residual
//! behave as their [`Pass`] says. In the first evaluation, a norm computes the statistics of the
//! batch, the pass keeps them (two numbers per channel), and the running statistics are updated. In
//! the second evaluation, the norm uses the kept statistics and updates nothing. A dropout keeps
//! nothing: its mask is a function of seed, step, position in the network and element.

use crate::error::{Error, Result};
use crate::precision::NumberType;
use crate::random::{Generator, Purpose};
use burn::module::ParamId;
use burn::tensor::Tensor;
use palinode_kernels::Context;
use palinode_kernels::dropout::Mask;
pub use palinode_kernels::norm::Statistics;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The purpose of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Norms use the statistics of the batch and move their running statistics towards them; dropouts
    /// draw the masks of this seed and step.
    Training {
        /// Seed of the run.
        seed: u64,
        /// Number of optimiser steps before this one. Every step draws new masks.
        step: u64,
    },
    /// A step of training once more: norms use the statistics of the batch, dropouts draw the same masks, and nothing is
    /// updated.
    Repeated {
        /// As in [`Training`](Self::Training).
        seed: u64,
        /// As in [`Training`](Self::Training).
        step: u64,
    },
    /// Norms use the statistics of the batch; nothing is updated and nothing is dropped.
    BatchStatistics,
    /// Norms use their running statistics; nothing is updated and nothing is dropped.
    Inference,
}

impl Phase {
    /// The seed and the step that random numbers are drawn for; `None` if none are drawn.
    pub(crate) fn drawn(self) -> Option<(u64, u64)> {
        match self {
            Self::Training { seed, step } | Self::Repeated { seed, step } => Some((seed, step)),
            Self::BatchStatistics | Self::Inference => None,
        }
    }

    /// Whether norms use the statistics of the batch. So does training, with its types of numbers and states.
    pub(crate) fn uses_batch(self) -> bool {
        self != Self::Inference
    }
}

/// The position of an evaluation in a network. Random numbers of different positions are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Outside the units.
    Outside,
    /// In unit `unit`. Function 2i is F of residual i, and function 2i + 1 is its F*.
    Unit { unit: usize, function: usize },
}

/// Mean and biased variance of every channel of a norm's input, over a batch. The evaluations that use them
/// share them.
#[derive(Clone, Debug)]
pub(crate) enum Moments {
    /// For the kernels.
    OnHost(Arc<[Statistics]>),
    /// Mean and variance in the type and on the device of the input, each `[1, C, 1, 1]`, outside any graph.
    OnDevice(Arc<[Tensor<4>; 2]>),
}

impl Moments {
    /// Their size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::OnHost(channels) => channels.len() * size_of::<Statistics>(),
            Self::OnDevice(moments) => 2 * moments[0].dims()[1] * moments[0].dtype().size(),
        }
    }
}

/// The moments that the norms of one evaluation computed, by the parameter ID of the norm's weight.
pub(crate) type Kept = BTreeMap<u64, Moments>;

/// One evaluation of a residual, or of the layers outside the units.
///
/// A residual passes it to its norms, dropouts and convolutions. It also carries the [`Context`] of
/// the kernels.
#[derive(Debug)]
pub struct Pass {
    phase: Phase,
    context: Context,
    place: Place,
    precision: NumberType,
    /// The statistics of the evaluation that this one repeats; `None` in a first evaluation.
    repeated: Option<Kept>,
    /// The statistics that the norms of this first evaluation have computed.
    computed: RefCell<Kept>,
    /// The norms that have been evaluated.
    norms: RefCell<BTreeSet<u64>>,
    /// The numbers of the dropouts that have drawn a mask.
    dropouts: RefCell<BTreeSet<u64>>,
    /// The first misuse that [`check`](Self::check) has not reported yet.
    misuse: RefCell<Option<Error>>,
}

impl Pass {
    /// A first evaluation outside any unit. A [`Unit`](crate::network::Unit) makes the passes of its
    /// residuals itself.
    pub fn new(phase: Phase, context: &Context) -> Self {
        Self::first(phase, context, Place::Outside)
    }

    /// A first evaluation at `place`.
    pub(crate) fn first(phase: Phase, context: &Context, place: Place) -> Self {
        Self {
            phase,
            context: context.clone(),
            place,
            precision: NumberType::F32,
            repeated: None,
            computed: RefCell::default(),
            norms: RefCell::default(),
            dropouts: RefCell::default(),
            misuse: RefCell::default(),
        }
    }

    /// A second evaluation at `place`; the first one kept `kept`.
    pub(crate) fn again(phase: Phase, context: &Context, place: Place, kept: Kept) -> Self {
        Self { repeated: Some(kept), ..Self::first(phase, context, place) }
    }

    /// The same evaluation in the type `precision`.
    pub(crate) fn in_type(self, precision: NumberType) -> Self {
        Self { precision, ..self }
    }

    /// The type that the residual is evaluated in.
    pub fn precision(&self) -> NumberType {
        self.precision
    }

    /// The purpose of the forward pass.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The execution context of the kernels.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether norms update their running statistics in this evaluation.
    pub(crate) fn moves_running_statistics(&self) -> bool {
        matches!(self.phase, Phase::Training { .. }) && self.repeated.is_none()
    }

    /// The moments of the batch for norm `norm`. A first evaluation computes and keeps them; a second one
    /// returns the kept ones.
    pub(crate) fn batch_moments(
        &self,
        norm: ParamId,
        compute: impl FnOnce() -> Moments,
    ) -> Moments {
        let id = norm.val();
        if !self.norms.borrow_mut().insert(id) {
            self.refuse("a batch norm was evaluated twice; use a separate norm at each position");
        }
        if let Some(kept) = &self.repeated {
            if let Some(known) = kept.get(&id) {
                return known.clone();
            }
            self.refuse("a batch norm was used in the second evaluation but not in the first");
        }
        let found = compute();
        self.computed.borrow_mut().insert(id, found.clone());
        found
    }

    /// The random numbers of dropout `number` in this evaluation; `None` outside training.
    pub(crate) fn draw(&self, number: u64) -> Option<Draw> {
        let (seed, step) = self.phase.drawn()?;
        if !self.dropouts.borrow_mut().insert(number) {
            let reason = format!(
                "two dropouts have the number {number}; use `Dropout::numbered` to tell them apart"
            );
            self.refuse(&reason);
        }
        Some(Draw::new(seed, step, self.place, Drawn::Dropout(number)))
    }

    /// Records a misuse for [`check`](Self::check) to report. Later misuses are not recorded.
    pub(crate) fn refuse(&self, reason: &str) {
        self.misuse.borrow_mut().get_or_insert_with(|| Error::config("residual", reason));
    }

    /// Checks that the norms and dropouts of this evaluation were used correctly. A
    /// [`Unit`](crate::network::Unit) calls this after every residual. A misuse is reported once.
    ///
    /// # Errors
    /// [`Error::Config`] if a norm was evaluated twice, if a norm was used in the second evaluation but
    /// not in the first, or if two dropouts have the same number.
    pub fn check(&self) -> Result<()> {
        match self.misuse.borrow_mut().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The statistics that a second evaluation needs.
    pub(crate) fn into_kept(self) -> Kept {
        self.computed.into_inner()
    }
}

/// The use of random numbers at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// The mask of the dropout with this number.
    Dropout(u64),
    /// Whether the residual is evaluated in the step.
    Survival,
}

/// The address of random numbers in the streams of a seed. Each element uses one 32-bit word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    seed: u64,
    step: u64,
    /// Below 2²⁸.
    place: u64,
}

impl Draw {
    /// The random numbers for `drawn` at `place` in step `step` of a run.
    ///
    /// The streams of `seed` itself hold three units, each with 2²⁰ functions of 63 dropouts. Larger
    /// networks continue in the streams of other seeds, which are derived from `seed`.
    pub fn new(seed: u64, step: u64, place: Place, drawn: Drawn) -> Self {
        const UNITS: usize = 3;
        const FUNCTIONS: usize = 1 << 20;
        const DROPOUTS: u64 = 63;
        let (unit, function) = match place {
            Place::Outside => ((0, UNITS), (0, 0)),
            Place::Unit { unit, function } => {
                ((unit / UNITS, unit % UNITS), (function / FUNCTIONS, function % FUNCTIONS))
            }
        };
        let number = match drawn {
            Drawn::Dropout(number) => (number / DROPOUTS, number % DROPOUTS),
            Drawn::Survival => (0, DROPOUTS),
        };
        // Zero within the limits above, so that `seed` itself is used.
        let beyond = (unit.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (function.0 as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9)
            ^ number.0.wrapping_mul(0x94d0_49bb_1331_11eb);
        let place = ((((function.1 as u64) << 2) | unit.1 as u64) << 6) | number.1;
        Self { seed: seed ^ beyond, step, place }
    }

    /// The dropout mask from these random numbers.
    pub fn mask(self, rate: f64) -> Mask {
        let stream = Generator::stream(Purpose::Dropout, self.step);
        Mask { seed: self.seed, stream, place: self.place, rate }
    }

    /// The random number of element 0, uniform in 0…1 (1 excluded).
    pub fn share(self) -> f64 {
        let mut generator = Generator::with_stream(self.seed, Purpose::Dropout, self.step);
        generator.seek_word(u128::from(self.place) << 40);
        f64::from(generator.word()) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mean: f64) -> Moments {
        Moments::OnHost([Statistics { mean, variance: 1.0 }].into())
    }

    #[test]
    fn norms_are_identified_by_their_parameter_and_not_by_the_order_of_calls() {
        let (phase, context) = (Phase::Training { seed: 3, step: 4 }, Context::new());
        let place = Place::Unit { unit: 1, function: 11 };
        let [a, b, c] = [(); 3].map(|()| ParamId::new());
        let pass = Pass::first(phase, &context, place);
        assert!(pass.moves_running_statistics());
        for (norm, mean) in [(a, 1.0), (b, 2.0)] {
            pass.batch_moments(norm, || moments(mean));
        }
        pass.check().unwrap();
        let kept = pass.into_kept();
        let again = Pass::again(phase, &context, place, kept);
        assert!(!again.moves_running_statistics());
        let mean = |norm| match again.batch_moments(norm, || moments(9.0)) {
            Moments::OnHost(channels) => channels[0].mean,
            Moments::OnDevice(_) => f64::NAN,
        };
        assert_eq!((mean(b), mean(a)), (2.0, 1.0));
        again.check().unwrap();
        mean(c);
        assert!(again.check().unwrap_err().to_string().contains("second evaluation"));
        mean(a);
        assert!(again.check().unwrap_err().to_string().contains("evaluated twice"));
    }

    #[test]
    fn dropouts_are_identified_by_their_number() {
        let phase = Phase::Training { seed: 3, step: 4 };
        let pass = Pass::new(phase, &Context::new());
        let drawn = [0, 1, 62, 63, 64, 127].map(|number| pass.draw(number).unwrap());
        for (index, draw) in drawn.iter().enumerate() {
            let repeated = drawn[..index].contains(draw);
            assert!(!repeated, "dropout {index} draws the numbers of an earlier dropout");
        }
        pass.check().unwrap();
        pass.draw(1);
        assert!(pass.check().unwrap_err().to_string().contains("number 1"));
        assert!(Pass::new(Phase::Inference, &Context::new()).draw(0).is_none());
    }

    #[test]
    fn every_unit_and_function_draws_different_numbers() {
        let mut seen = std::collections::HashSet::new();
        let mut add = |place, drawn| {
            let Draw { seed, place, .. } = Draw::new(5, 0, place, drawn);
            assert!(seen.insert((seed, place)), "{place:?} {drawn:?}");
        };
        for unit in 0..64 {
            for function in [0, 1, 2, 3, 199_999, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
                for number in [0, 1, 62, 63, 126] {
                    add(Place::Unit { unit, function }, Drawn::Dropout(number));
                }
                if function < 1 << 20 {
                    add(Place::Unit { unit, function }, Drawn::Survival);
                }
            }
        }
        for number in 0..200 {
            add(Place::Outside, Drawn::Dropout(number));
        }
    }
}
