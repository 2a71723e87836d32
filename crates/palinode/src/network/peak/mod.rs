//! The peak of a training step's memory, by formula.
//!
//! [`MemoryModel::peak`] goes through the moments of a backward pass. What is `kept` for it and what is `working` memory
//! at each moment has its own file; `fit` looks for what fits into a given memory. Bytes are counted in f64, which does
//! not overflow.

mod fit;
mod kept;
mod working;

use super::classifier::Network;
use super::config::NetworkConfig;
use super::modes::Modes;
use crate::error::Result;
use crate::reversible::{Differentiation, segment_length};
use burn::tensor::Device;
use palinode_kernels::Context;

/// What is alive at the peak of a training step on the CPU, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepPeak {
    /// 4 bytes × parameters.
    pub parameters: u64,
    /// Of the gradients, those that exist at that moment.
    pub gradients: u64,
    /// What SGD remembers: the momentum, 4 bytes × parameters.
    pub optimizer: u64,
    /// The batch.
    pub images: u64,
    /// What the forward pass has left and the backward pass has not used yet.
    pub activations: u64,
    /// What the backward pass of one unit needs beside that.
    pub working: u64,
}

impl StepPeak {
    /// All of it.
    pub fn total(&self) -> u64 {
        let Self { parameters, gradients, optimizer, images, activations, working } = *self;
        let parts = [parameters, gradients, optimizer, images, activations, working];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// The memory of training steps of one network on the CPU, by the formulas of `docs/memory.md`.
///
/// Within a tenth of what is measured, for the networks, modes and image sizes of the test `peaks`.
#[derive(Debug)]
pub struct MemoryModel {
    config: NetworkConfig,
    context: Context,
    /// A narrow network of the same kind with two blocks a unit, to be asked what the kernels compute as a whole; `None` for
    /// baselines, of which they compute nothing as a whole.
    sample: Option<Network>,
    /// Parameters of every unit.
    units: Vec<f64>,
    /// Parameters behind the units.
    head: f64,
    /// All parameters.
    parameters: f64,
}

impl MemoryModel {
    /// The model of networks of `config` that are computed with `context`.
    ///
    /// # Errors
    /// As [`NetworkConfig::validate`] and [`Network::with_context`].
    pub fn new(config: &NetworkConfig, context: &Context) -> Result<Self> {
        config.validate()?;
        let sample = if config.residual.is_baseline() { None } else { Some(sample(config)?) };
        let sample = sample.map(|sample| sample.with_context(context)).transpose()?;
        let counted = config.parameter_count();
        let of = |name: &str| {
            let own = counted.parts.iter().filter(|(part, _)| part.starts_with(name));
            own.map(|&(_, count)| count as f64).collect::<Vec<_>>()
        };
        Ok(Self {
            config: config.clone(),
            context: context.clone(),
            sample,
            units: of("units."),
            head: of("head").iter().sum(),
            parameters: counted.total as f64,
        })
    }

    /// The peak of a step on `batch` images in `modes`, with SGD.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where there are not as many modes as units, and
    /// [`Unit::scratch_bytes`](super::Unit::scratch_bytes).
    pub fn peak(&self, modes: &Modes, batch: usize) -> Result<StepPeak> {
        let modes = modes.of_units(self.units.len())?;
        let kept: Vec<f64> = (0..modes.len()).map(|unit| self.kept(unit, &modes, batch)).collect();
        let stem = self.stem_kept(batch);
        let moment = |gradients: f64, activations: f64, working: f64| StepPeak {
            parameters: (4.0 * self.parameters) as u64,
            gradients: (4.0 * gradients) as u64,
            optimizer: (4.0 * self.parameters) as u64,
            images: self.config.image_bytes(batch),
            activations: (stem + activations) as u64,
            working: working as u64,
        };
        // The head, then the units from the last to the first.
        let last = modes.len().checked_sub(1).map_or(0.0, |unit| self.map(unit, batch));
        let all = kept.iter().sum::<f64>() + self.head_kept(&modes, batch);
        let mut peak = moment(self.head, all, 2.0 * last);
        let mut later = self.head;
        for (unit, &mode) in modes.iter().enumerate().rev() {
            let gradients = later + self.units[unit];
            // The kernels make room for the gradients of a whole unit at once.
            let own = if mode == Differentiation::Reversible { gradients } else { later };
            let working = self.working(unit, mode, batch)?;
            peak = larger(peak, moment(own, kept[..=unit].iter().sum(), working));
            // The transition in front of it: the cotangents of its output and of its input.
            let cotangents = self.map(unit, batch) + self.before(unit, batch);
            peak = larger(peak, moment(gradients, kept[..unit].iter().sum(), cotangents));
            later = gradients;
        }
        Ok(peak)
    }

    /// Bytes of the map of all channels in a unit.
    fn map(&self, unit: usize, batch: usize) -> f64 {
        self.config.map_bytes(unit, batch) as f64
    }

    /// Bytes of the map in front of a unit's transition or entry.
    fn before(&self, unit: usize, batch: usize) -> f64 {
        match unit.checked_sub(1) {
            Some(previous) => self.map(previous, batch),
            None => self.stem_map(batch),
        }
    }

    /// Bytes of what the stem puts out.
    fn stem_map(&self, batch: usize) -> f64 {
        let (own, all) = (self.config.stem_channels(), self.config.width(0));
        self.map(0, batch) * own as f64 / all.max(1) as f64
    }

    /// Bytes of one array of a residual.
    fn array(&self, unit: usize, batch: usize) -> f64 {
        let (own, all) = (self.config.residual_channels(unit), self.config.width(unit));
        self.map(unit, batch) * own as f64 / all.max(1) as f64
    }

    /// Bytes of the state between two blocks of a unit.
    fn state(&self, unit: usize, batch: usize) -> f64 {
        self.config.state_bytes(unit, batch) as f64
    }

    /// Blocks of a unit behind its entry.
    fn blocks(&self, unit: usize) -> usize {
        let blocks = self.config.blocks_per_unit()[unit];
        blocks.saturating_sub(usize::from(self.config.has_entry(unit)))
    }

    /// Channels of the grouped convolution by those of the unit.
    fn bottleneck_ratio(&self, unit: usize) -> f64 {
        self.config.bottleneck_of(unit) as f64 / self.config.width(unit).max(1) as f64
    }
}

/// A network of the kind of `config`, as narrow as the inception residuals allow.
fn sample(config: &NetworkConfig) -> Result<Network> {
    let mut small = config.clone();
    small.blocks.iter_mut().for_each(|blocks| *blocks = (*blocks).min(2));
    small.widths.fill(16);
    small.init(0, Differentiation::Stored, &Device::flex())
}

/// The lengths of the segments of a unit in mode `checkpointed`.
fn segments(blocks: usize) -> Vec<usize> {
    let length = segment_length(blocks);
    (0..blocks.div_ceil(length)).map(|index| length.min(blocks - index * length)).collect()
}

fn larger(a: StepPeak, b: StepPeak) -> StepPeak {
    if b.total() > a.total() { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_those_of_the_mode() {
        assert_eq!(segments(0), [0; 0]);
        assert_eq!(segments(1), [1]);
        assert_eq!(segments(6), [3, 3]);
        assert_eq!(segments(18), [5, 5, 5, 3]);
    }

    #[test]
    fn what_fits_takes_no_more_than_there_is() {
        let config = NetworkConfig::named("resnet-110").unwrap().for_data(3, [64, 64], 10);
        let model = MemoryModel::new(&config, &Context::new()).unwrap();
        let choices = model.choices(64).unwrap();
        let totals: Vec<u64> = choices.iter().map(|(_, peak)| peak.total()).collect();
        assert!(totals.is_sorted_by(|a, b| a > b), "{totals:?}");
        assert!(totals.last().unwrap() < &(totals[0] / 2), "{totals:?}");
        let again = |modes: &Modes| {
            let modes = modes.of_units(3).unwrap().into_iter();
            modes.filter(|mode| *mode == Differentiation::Checkpointed).count()
        };
        let evaluations: Vec<usize> = choices.iter().map(|(modes, _)| again(modes)).collect();
        assert!(evaluations[0] == 0 && evaluations.is_sorted(), "{evaluations:?}");
        for (choice, &total) in choices.iter().zip(&totals) {
            assert_eq!(model.within(total, 64).unwrap().as_ref(), Some(choice));
        }
        assert_eq!(model.within(totals.last().unwrap() - 1, 64).unwrap(), None);
        // The largest batch fits, and one image more does not.
        let largest = model.largest_batch(totals[0]).unwrap();
        assert!(largest > 64 && model.within(totals[0], largest).unwrap().is_some());
        assert_eq!(model.within(totals[0], largest + 1).unwrap(), None);
        assert_eq!(model.largest_batch(1).unwrap(), 0);
    }

    #[test]
    fn a_single_block_is_stored_where_that_takes_less() {
        let shallow = |name: &str| {
            let config = NetworkConfig::named(name).unwrap().with_units([1; 3], [16, 32, 64]);
            NetworkConfig { block_norm: name == "midpoint", ..config }
        };
        for name in ["resnet-32", "midpoint"] {
            let model = MemoryModel::new(&shallow(name), &Context::new()).unwrap();
            let (_, least) = model.choices(16).unwrap().pop().unwrap();
            let stored = model.peak(&Differentiation::Stored.into(), 16).unwrap();
            assert!(least.total() <= stored.total(), "{name}");
            assert!(model.largest_batch(stored.total()).unwrap() >= 16, "{name}");
        }
        // Units without blocks have the usual mode.
        let empty = NetworkConfig::named("hamiltonian-74").unwrap().with_units([0; 3], [32; 3]);
        let model = MemoryModel::new(&empty, &Context::new()).unwrap();
        let choices = model.choices(4).unwrap();
        assert_eq!(choices[0].0, Modes::Same(Differentiation::Reversible));
    }

    #[test]
    fn no_size_is_too_large_to_be_counted() {
        let config = NetworkConfig::named("midpoint-26").unwrap().for_data(3, [16_384; 2], 10);
        let config = config.with_units([1000; 3], [64; 3]);
        let model = MemoryModel::new(&config, &Context::new()).unwrap();
        for mode in Differentiation::ALL {
            let peak = model.peak(&mode.into(), 1 << 24).unwrap();
            assert!(peak.total() > 1 << 60, "{peak:?}");
        }
    }
}
