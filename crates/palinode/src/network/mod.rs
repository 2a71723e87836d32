//! Networks: stem, three units, transitions, head.

mod config;
mod count;
mod file;
mod head;
mod named;
mod norm;
mod stem;
mod transition;
mod unit;
pub mod weights;

pub use config::{Layout, NetworkConfig, StemActivation, StemConfig};
pub use count::{ParameterCount, count};
pub use file::{WeightFile, load_arrays, save_arrays};
pub use head::Head;
pub use named::NAMED;
pub use norm::BatchNorm;
pub use stem::Stem;
pub use unit::Unit;

use crate::activation::{Activation, activate};
use crate::error::Result;
use crate::random::{Generator, Purpose};
use crate::residual::{BuiltIn, Residual};
use crate::reversible::Differentiation;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use transition::transition;

/// What a forward pass is for; it decides which statistics batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The batch's statistics, and the running ones are updated.
    Training,
    /// The batch's statistics, and nothing is updated.
    BatchStatistics,
    /// The running statistics.
    Inference,
}

/// Where in a network a residual stands.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The unit, from 0.
    pub unit: usize,
    /// The residual's place in the unit, from 0.
    pub index: usize,
    /// Channels it works on.
    pub channels: usize,
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
            self.residual.init(site.channels, self.activation, site.input_bias, generator, device)
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
        let stem = Stem::new(self.channels, self.widths[0], !paper, generator, device);
        let scheme = self.scheme.with_step(self.step, self.start);
        let mut units = Vec::new();
        for (unit, blocks) in self.blocks_per_unit().into_iter().enumerate() {
            let residuals = (0..blocks * scheme.residuals_per_block())
                .map(|index| {
                    let input_bias =
                        paper && scheme.residuals_per_block() == 2 && (unit, index) != (0, 0);
                    let channels = self.residual_channels(unit);
                    residual(Site { unit, index, channels, input_bias }, generator, device)
                })
                .collect();
            units.push(Unit::new(residuals, scheme.clone(), mode)?);
        }
        let head = Head::new(self.features(), self.classes, self.layout, generator, device);
        let epsilon = if paper { 1e-3 } else { 1e-5 };
        let norm =
            |wanted: bool, channels| wanted.then(|| BatchNorm::new(channels, epsilon, device));
        Ok(Network {
            stem,
            stem_norm: norm(paper || self.stem.norm, self.widths[0]),
            units,
            head_norm: norm(paper, self.widths[2]),
            head,
            config: self.clone(),
        })
    }
}

impl<R: Residual> Network<R> {
    /// Logits `[n, classes]` of standardised images `[n, channels, rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Backend`](crate::Error::Backend) for gradients on a backend the units' mode does
    /// not support.
    pub fn forward(&self, images: Tensor<4>, phase: Phase) -> Result<Tensor<2>> {
        let config = &self.config;
        let mut x = self.stem.forward(images);
        let mut activation = self.stem_activation();
        if let Some(norm) = &self.stem_norm {
            x = match activation.take_if(|activation| *activation == Activation::Relu) {
                Some(_) => norm.forward_relu(x, phase),
                None => norm.forward(x, phase),
            };
        }
        if let Some(activation) = activation {
            x = activate(activation, x);
        }
        for (index, unit) in self.units.iter().enumerate() {
            if index > 0 {
                x = transition(x, config.widths[index], config.streams(), config.layout);
            }
            x = unit.forward(x)?;
        }
        if let Some(norm) = &self.head_norm {
            x = norm.forward_relu(x, phase);
        }
        Ok(self.head.forward(x))
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

    fn stem_activation(&self) -> Option<Activation> {
        match self.config.layout {
            Layout::Paper => Some(Activation::Relu),
            Layout::Report => self.config.stem.activation.get(),
        }
    }
}
