//! Networks: stem, three units, transitions, head.

mod config;
mod count;
mod data_info;
mod entry;
mod file;
mod head;
mod named;
mod stem;
mod transition;
mod unit;
mod validate;
mod variant;
pub mod weights;

pub use config::{Layout, NetworkConfig, StemActivation, StemConfig, TransitionKind};
pub use count::{ParameterCount, count};
pub use data_info::DataInfo;
pub use entry::Entry;
pub use file::{WeightFile, load_arrays, save_arrays};
pub use head::Head;
pub use named::{NAMED, Named};
pub use stem::Stem;
pub use unit::Unit;
pub use variant::Variant;

pub use crate::norm::BatchNorm;
pub use crate::pass::Phase;

use crate::activation::{Activation, activate};
use crate::convolution::{Convolution, ConvolutionConfig};
use crate::error::Result;
use crate::pass::Pass;
use crate::random::{Generator, Purpose};
use crate::residual::{BuiltIn, BuiltInConfig, BuiltInSettings, Residual};
use crate::reversible::{Differentiation, Kernels};
use crate::scheme::{SchemeName, Streams};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use transition::transition;

/// Where in a network a residual stands.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The unit, from 0.
    pub unit: usize,
    /// The residual's place in the unit, from 0.
    pub index: usize,
    /// Channels of its input: fewer than `channels` where a baseline's unit begins.
    pub inputs: usize,
    /// Channels of its result.
    pub channels: usize,
    /// 2 where a baseline's unit begins at half the resolution.
    pub stride: usize,
    /// Whether the layout gives it a bias before K.
    pub input_bias: bool,
}

/// A classifier of images: stem → units with transitions between → head.
///
/// `forward` maps `[n, channels, rows, columns]` to logits `[n, classes]`.
#[derive(Module, Debug)]
pub struct Network<R: Residual = BuiltIn> {
    /// First convolution.
    pub stem: Stem,
    /// Batch norm after it.
    pub stem_norm: Option<BatchNorm>,
    /// First blocks of the units, where these cannot be undone (the baselines'); with none, the state
    /// is pooled and padded between two units.
    pub entries: Vec<Option<Entry<R>>>,
    /// The three reversible units.
    pub units: Vec<Unit<R>>,
    /// Batch norm before the pool of layout `paper`.
    pub head_norm: Option<BatchNorm>,
    /// Pool and fully connected layer.
    pub head: Head,
    #[module(skip)]
    config: NetworkConfig,
}

impl NetworkConfig {
    /// A network with the built-in residual, its initial weights drawn with `seed`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where [`validate`](Self::validate) refuses.
    pub fn init(
        &self,
        seed: u64,
        mode: Differentiation,
        device: &Device,
    ) -> Result<Network<BuiltIn>> {
        self.init_with(seed, mode, device, |site, generator, device| {
            self.residual.init(self.settings(site), generator, device)
        })
    }

    /// A network with residuals of your own, made by `residual` one after the other.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where [`validate`](Self::validate) refuses,
    /// [`Error::NotRepeatable`](crate::Error::NotRepeatable) where `mode` cannot evaluate a residual
    /// again.
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
                Entry::new(entry, shortcut, self.widths[unit], unit, of_entry.into())
            }));
            let unit = Unit::new(residuals, scheme.clone(), mode)?.numbered(unit).behind(own);
            units.push(unit.with_survival(of_unit));
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
            head_norm: norm(paper, self.widths[2]),
            head,
            config: self.clone(),
        })
    }

    /// ε of every batch norm.
    fn epsilon(&self) -> f64 {
        match self.layout {
            Layout::Report => 1e-5,
            Layout::Paper => 1e-3,
        }
    }

    /// Where residual `index` of unit `unit` stands, its entry's counted too.
    fn site(&self, unit: usize, index: usize) -> Site {
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

    fn settings(&self, site: Site) -> BuiltInSettings {
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
            bottleneck: self.bottleneck << site.unit,
            groups: self.groups,
        }
    }

    /// The 1×1 shortcut of unit `unit`'s entry.
    fn projection(&self, unit: usize, generator: &mut Generator, device: &Device) -> Convolution {
        let inputs = if unit == 0 { self.stem_channels() } else { self.widths[unit - 1] };
        let stride = if unit == 0 { 1 } else { 2 };
        let deviation = (2.0 / inputs as f64).sqrt();
        let weight =
            generator.truncated_normal([self.widths[unit], inputs, 1, 1], deviation, device);
        ConvolutionConfig::new().with_stride([stride; 2]).init(Param::from_tensor(weight), None)
    }
}

impl<R: Residual> Network<R> {
    /// Logits `[n, classes]` of standardised images `[n, channels, rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) for gradients on a backend the units' mode does
    /// not support.
    pub fn forward(&self, images: Tensor<4>, phase: Phase) -> Result<Tensor<2>> {
        self.forward_past(images, phase, &mut |_, _| Ok(()))
    }

    /// [`forward`](Self::forward), showing every unit and its input on the way.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and what `see` says.
    pub fn forward_past(
        &self,
        images: Tensor<4>,
        phase: Phase,
        see: &mut dyn FnMut(&Unit<R>, &Tensor<4>) -> Result<()>,
    ) -> Result<Tensor<2>> {
        let config = &self.config;
        // What stands outside the units counts as unit 3.
        let outside = Pass::first(phase, 3);
        let mut x = self.stem.forward(images);
        let mut activation = self.stem_activation();
        if let Some(norm) = &self.stem_norm {
            x = match activation.take_if(|activation| *activation == Activation::Relu) {
                Some(_) => norm.forward_relu(x, &outside),
                None => norm.forward(x, &outside),
            };
        }
        if let Some(activation) = activation {
            x = activate(activation, x);
        }
        for (index, unit) in self.units.iter().enumerate() {
            x = match &self.entries[index] {
                Some(entry) => entry.forward(x, phase),
                None if index > 0 => {
                    transition(x, config.widths[index], config.streams(), config.layout)
                }
                None => x,
            };
            see(unit, &x)?;
            x = unit.forward(x, phase)?;
        }
        if let Some(norm) = &self.head_norm {
            x = norm.forward_relu(x, &outside);
        }
        Ok(self.head.forward(x, &outside))
    }

    /// The description it was made from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The same weights, differentiated another way.
    ///
    /// # Errors
    /// [`Error::NotRepeatable`](crate::Error::NotRepeatable) where `mode` cannot evaluate a
    /// residual again.
    pub fn with_mode(mut self, mode: Differentiation) -> Result<Self> {
        let units = self.units.into_iter().map(|unit| unit.with_mode(mode));
        self.units = units.collect::<Result<_>>()?;
        Ok(self)
    }

    /// The same weights, all units computed by the kernels another way.
    ///
    /// # Errors
    /// As [`Unit::with_kernels`].
    pub fn with_kernels(mut self, kernels: Kernels) -> Result<Self> {
        let units = self.units.into_iter().map(|unit| unit.with_kernels(kernels));
        self.units = units.collect::<Result<_>>()?;
        Ok(self)
    }

    /// Channels of all norms inside the units' blocks, those of entries left out.
    pub fn normed_channels(&self) -> usize {
        struct Visitor {
            name: String,
            channels: usize,
        }
        impl ModuleVisitor for Visitor {
            fn enter_module(&mut self, name: &str, _: &str) {
                name.clone_into(&mut self.name);
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.name == "running_mean" {
                    self.channels += param.val().dims()[0];
                }
            }
        }
        let mut visitor = Visitor { name: String::new(), channels: 0 };
        self.units.visit(&mut visitor);
        visitor.channels
    }

    fn stem_activation(&self) -> Option<Activation> {
        match self.config.layout {
            Layout::Paper => Some(Activation::Relu),
            Layout::Report => self.config.stem.activation.get(),
        }
    }
}
