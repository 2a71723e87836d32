//! Building a network from its configuration.

use super::classifier::Network;
use super::config::{Layout, NetworkConfig};
use super::entry::Entry;
use super::head::Head;
use super::modes::Modes;
use super::stem::Stem;
use super::unit::Unit;
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::error::Result;
use crate::memory::check_available;
use crate::norm::BatchNorm;
use crate::random::{Generator, Purpose};
use crate::residual::{BuiltIn, BuiltInConfig, BuiltInSettings, Residual};
use crate::reversible::Differentiation;
use crate::scheme::{SchemeName, Streams};
use burn::module::Param;
use burn::tensor::Device;
use palinode_kernels::Context;

/// The position of a residual in a network, and what it requires of the residual.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// Index of the unit, from 0.
    pub unit: usize,
    /// Index of the residual in the unit, from 0.
    pub index: usize,
    /// Channels of the input: fewer than `channels` in an [`Entry`].
    pub inputs: usize,
    /// Channels of the output.
    pub channels: usize,
    /// Stride: 2 in an [`Entry`] that halves the resolution, otherwise 1.
    pub stride: usize,
    /// Whether the layout adds a bias before K.
    pub input_bias: bool,
}

impl NetworkConfig {
    /// A network with the built-in residual. Its initial weights are drawn with `seed`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if [`validate`](Self::validate) fails or if `mode` needs
    /// an inverse and the scheme has none; [`Error::Memory`](crate::Error::Memory) if the weights do
    /// not fit in the available memory.
    pub fn init(
        &self,
        seed: u64,
        mode: Differentiation,
        device: &Device,
    ) -> Result<Network<BuiltIn>> {
        self.validate()?;
        check_available(&[("weights", 4 * self.parameter_count().total as u64)])?;
        self.init_with(seed, mode, device, |site, generator, device| {
            self.residual.init(self.settings(site), generator, device)
        })
    }

    /// [`init`](Self::init) with each unit in its own mode of `modes`.
    ///
    /// # Errors
    /// As [`init`](Self::init), and where there are not as many modes as units.
    pub fn init_in(&self, seed: u64, modes: &Modes, device: &Device) -> Result<Network<BuiltIn>> {
        self.init(seed, Differentiation::Stored, device)?.with_modes(modes)
    }

    /// A network with your own residuals. `residual` is called once for each of them, from input to
    /// output.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if [`validate`](Self::validate) fails or if `mode` needs
    /// an inverse and the scheme has none; [`Error::NotRepeatable`](crate::Error::NotRepeatable) if
    /// `mode` evaluates residuals twice and one of them has side effects.
    pub fn init_with<R: Residual>(
        &self,
        seed: u64,
        mode: Differentiation,
        device: &Device,
        mut residual: impl FnMut(Site, &mut Generator, &Device) -> R,
    ) -> Result<Network<R>> {
        self.validate()?;
        let generator = &mut Generator::new(seed, Purpose::Weights);
        let paper = self.layout == Layout::Paper;
        let stem = Stem::new(self.channels, self.stem_channels(), !paper, generator, device);
        let scheme = self.stepped();
        let per_block = scheme.residuals_per_block();
        let context = Context::default();
        let (mut entries, mut units) = (Vec::new(), Vec::new());
        for (unit, blocks) in self.blocks_per_unit().into_iter().enumerate() {
            let mut make = |index| residual(self.site(unit, index), generator, device);
            let own = if self.has_entry(unit) { per_block } else { 0 };
            let entry: Vec<R> = (0..own).map(&mut make).collect();
            let residuals = (own..blocks * per_block).map(make).collect();
            let survival = self.survival_of(unit);
            let (of_entry, of_unit) = survival.split_at(own.min(survival.len()));
            let projected = self.residual == BuiltInConfig::Aggregated;
            entries.push((own > 0).then(|| {
                let shortcut = projected.then(|| self.projection(unit, generator, device));
                Entry::new(entry, shortcut, self.width(unit), unit, of_entry.into())
            }));
            let unit = Unit::new(residuals, scheme.clone(), mode)?.numbered(unit).behind(own);
            units.push(unit.with_survival(of_unit).with_context(&context)?);
        }
        let head = Head::new(self, generator, device);
        let norm = |wanted: bool, channels| {
            wanted.then(|| BatchNorm::new(channels, self.epsilon(), device))
        };
        Ok(Network {
            stem,
            stem_norm: norm(paper || self.stem.norm, self.stem_channels()),
            entries,
            units,
            head_norm: norm(paper, self.last_width()),
            head,
            config: self.clone(),
            context,
        })
    }

    /// The position of residual `index` of unit `unit`. The entry's residuals are counted too.
    pub(super) fn site(&self, unit: usize, index: usize) -> Site {
        let channels = self.residual_channels(unit);
        let paper = self.layout == Layout::Paper;
        let two_streams = self.streams() == Streams::Two;
        let first = index == 0 && self.has_entry(unit);
        let inputs = match (first, unit) {
            (false, _) => channels,
            (true, 0) => self.stem_channels(),
            (true, _) => self.residual_channels(unit - 1),
        };
        let stride = if first && unit > 0 { 2 } else { 1 };
        let per_block = self.stepped().residuals_per_block();
        let input_bias = paper && two_streams && per_block == 2 && (unit, index) != (0, 0);
        Site { unit, index, inputs, channels, stride, input_bias }
    }

    pub(super) fn settings(&self, site: Site) -> BuiltInSettings {
        BuiltInSettings {
            inputs: site.inputs,
            channels: site.channels,
            stride: site.stride,
            activation: self.activation,
            input_bias: site.input_bias,
            norm: self.block_norm,
            with_conjugate: self.scheme == SchemeName::HamiltonianSingle,
            epsilon: self.epsilon(),
            dropout: self.block_dropout,
            preactivated: (site.unit, site.index) != (0, 0),
            bottleneck: self.bottleneck_of(site.unit),
            groups: self.groups,
        }
    }

    /// Input channels of unit `unit`'s entry.
    pub(super) fn projection_inputs(&self, unit: usize) -> usize {
        if unit == 0 { self.stem_channels() } else { self.width(unit - 1) }
    }

    /// The projection shortcut (1×1 convolution) of unit `unit`'s entry.
    fn projection(&self, unit: usize, generator: &mut Generator, device: &Device) -> Convolution {
        let inputs = self.projection_inputs(unit);
        let stride = if unit == 0 { 1 } else { 2 };
        let deviation = (2.0 / inputs as f64).sqrt();
        let weight =
            generator.truncated_normal([self.width(unit), inputs, 1, 1], deviation, device);
        ConvolutionConfig::new().with_stride([stride; 2]).init(Param::from_tensor(weight), None)
    }
}
