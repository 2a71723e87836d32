//! An image classifier: stem, units with transitions between them, head.

use super::config::{Layout, NetworkConfig};
use super::entry::Entry;
use super::head::Head;
use super::modes::Modes;
use super::stem::Stem;
use super::transition::Transition;
use super::unit::Unit;
use crate::activation::{Activation, activate};
use crate::autodiff::on_kernels;
use crate::error::{Error, Result};
use crate::norm::BatchNorm;
use crate::pass::{Pass, Phase};
use crate::precision::NumberType;
use crate::residual::{BuiltIn, Residual};
use crate::reversible::{Differentiation, Watch};
use crate::scheme::Grid;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use palinode_kernels::{Context, NormStatistics};

/// An image classifier: stem → units with transitions between them → head.
///
/// `forward` maps `[n, channels, rows, columns]` to logits `[n, classes]`.
#[derive(Module, Debug)]
pub struct Network<R: Residual = BuiltIn> {
    /// The first convolution.
    pub stem: Stem,
    /// Batch norm after the stem.
    pub stem_norm: Option<BatchNorm>,
    /// For each unit of a baseline, its first block if that has no inverse. Before a unit without an
    /// entry, except the first, the transition pools the state or adds zero channels.
    pub entries: Vec<Option<Entry<R>>>,
    /// The reversible units.
    pub units: Vec<Unit<R>>,
    /// Batch norm before the pool of layout `paper`.
    pub head_norm: Option<BatchNorm>,
    /// Average pool and fully connected layer.
    pub head: Head,
    #[module(skip)]
    pub(super) config: NetworkConfig,
    #[module(skip)]
    pub(super) context: Context,
}

impl<R: Residual> Network<R> {
    /// Logits `[n, classes]` of standardised images `[n, channels, rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Input`] if the images have the wrong shape or element type; otherwise as
    /// [`Unit::forward`].
    pub fn forward(&self, images: Tensor<4>, phase: Phase) -> Result<Tensor<2>> {
        self.forward_past(images, phase, &mut |_, _| Ok(()))
    }

    /// [`forward`](Self::forward), calling `see` with every unit and its input before the unit is
    /// evaluated.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and any error of `see`.
    pub fn forward_past(
        &self,
        images: Tensor<4>,
        phase: Phase,
        see: &mut dyn FnMut(&Unit<R>, &Tensor<4>) -> Result<()>,
    ) -> Result<Tensor<2>> {
        let config = &self.config;
        self.check(&images)?;
        let outside = Pass::new(phase, &self.context);
        let mut x = self.stem.forward(images, &outside);
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
        for (index, (unit, entry)) in self.units.iter().zip(&self.entries).enumerate() {
            x = match entry {
                Some(entry) => entry.forward(x, &outside)?,
                None if index > 0 => Transition::to(config, index).apply(x, &outside),
                None => x,
            };
            see(unit, &x)?;
            x = unit.forward(x, phase)?;
        }
        if let Some(norm) = &self.head_norm {
            x = norm.forward_relu(x, &outside);
        }
        let logits = self.head.forward(x, &outside);
        outside.check()?;
        Ok(logits)
    }

    /// Checks the shape and the element type of the images.
    fn check(&self, images: &Tensor<4>) -> Result<()> {
        let NetworkConfig { channels, size: [rows, columns], .. } = self.config;
        let dtype = self.stem.weight.val().dtype();
        let [_, own @ ..] = images.dims();
        if own == [channels, rows, columns] && images.dtype() == dtype {
            return Ok(());
        }
        Err(Error::Input {
            found: format!("{:?} in {:?}", images.dims(), images.dtype()),
            expected: format!("[n, {channels}, {rows}, {columns}] in {dtype:?}"),
        })
    }

    /// The configuration that the network was made from.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The same network with the states of its units on grids in training, see [`Unit::with_grid`].
    ///
    /// # Errors
    /// [`Error::Config`] unless there are as many grids as units.
    pub fn with_grids(self, grids: &[Option<Grid>]) -> Result<Self> {
        self.with_each("grids", grids, Unit::with_grid)
    }

    /// The grids that the states of the units lie on in training.
    pub fn grids(&self) -> Vec<Option<Grid>> {
        self.units.iter().map(Unit::grid).collect()
    }

    /// The same network with its units kept in so many parts, see [`Unit::with_parts`].
    ///
    /// # Errors
    /// [`Error::Config`] unless there are as many numbers as units.
    pub fn with_parts(self, parts: &[usize]) -> Result<Self> {
        self.with_each("parts", parts, Unit::with_parts)
    }

    /// The same network with every unit changed by its own value of `values`, which errors call `what`.
    fn with_each<T: Copy>(
        mut self,
        what: &str,
        values: &[T],
        change: impl Fn(Unit<R>, T) -> Unit<R>,
    ) -> Result<Self> {
        let units = self.units.len();
        if values.len() != units {
            let reason = format!("{} values for {units} units", values.len());
            return Err(Error::config(what, reason));
        }
        self.units =
            self.units.into_iter().zip(values).map(|(unit, &own)| change(unit, own)).collect();
        Ok(self)
    }

    /// The same network, whose drifts are recorded in `watch`, see [`Unit::with_watch`].
    pub fn with_watch(mut self, watch: Option<&Watch>) -> Self {
        self.units = self.units.into_iter().map(|unit| unit.with_watch(watch)).collect();
        self
    }

    /// The same network, differentiated in mode `mode`.
    ///
    /// # Errors
    /// As [`Unit::with_mode`].
    pub fn with_mode(self, mode: Differentiation) -> Result<Self> {
        self.with_modes(&mode.into())
    }

    /// How the units are differentiated.
    pub fn modes(&self) -> Modes {
        self.units.iter().map(Unit::mode).collect::<Vec<_>>().into()
    }

    /// The same network with each unit differentiated in its own mode of `modes`.
    ///
    /// # Errors
    /// [`Error::Config`] unless there are as many modes as units, and as [`Unit::with_mode`].
    pub fn with_modes(mut self, modes: &Modes) -> Result<Self> {
        let modes = modes.of_units(self.units.len())?.into_iter();
        let units = self.units.into_iter().zip(modes).map(|(unit, mode)| unit.with_mode(mode));
        self.units = units.collect::<Result<_>>()?;
        Ok(self)
    }

    /// The same network with the residuals of its units evaluated in the type `precision`. Stem, transitions, the
    /// first blocks of a baseline's units and head stay in f32.
    ///
    /// # Errors
    /// As [`Unit::with_precision`].
    pub fn with_precision(mut self, precision: NumberType) -> Result<Self> {
        let units = self.units.into_iter().map(|unit| unit.with_precision(precision));
        self.units = units.collect::<Result<_>>()?;
        Ok(self)
    }

    /// The same network, computed with `context`.
    ///
    /// # Errors
    /// As [`Unit::with_context`], and [`Error::Config`] for a [share](palinode_kernels::Share) of a batch, or for
    /// [statistics of micro-batches](NormStatistics), unless the network is in f32 on the CPU.
    pub fn with_context(mut self, context: &Context) -> Result<Self> {
        if context.share().is_some() && !on_kernels(&self.stem.weight.val()) {
            let reason = "several ranks share a batch in f32 on the CPU alone";
            return Err(Error::config("training.device", reason));
        }
        let by_microbatch = context.norm_statistics() == NormStatistics::Microbatch;
        if by_microbatch && !on_kernels(&self.stem.weight.val()) {
            let reason = "norms have statistics of micro-batches in f32 on the CPU alone";
            return Err(Error::config("training.norm_statistics", reason));
        }
        let units = self.units.into_iter().map(|unit| unit.with_context(context));
        self.units = units.collect::<Result<_>>()?;
        self.context = context.clone();
        Ok(self)
    }

    /// The execution context of the kernels.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The number of statistics, a mean and a variance for one channel each, that units keep of `images` images because they
    /// evaluate their residuals twice: those of all norms inside their blocks, without entries.
    pub fn kept_statistics(&self, images: usize) -> usize {
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
        let twice = self.units.iter().filter(|unit| unit.mode() != Differentiation::Stored);
        twice.for_each(|unit| unit.visit(&mut visitor));
        let groups = match (self.context.norm_statistics(), self.context.microbatches()) {
            (NormStatistics::Microbatch, Some(own)) => own.count().min(images),
            _ => 1,
        };
        visitor.channels * groups
    }

    fn stem_activation(&self) -> Option<Activation> {
        match self.config.layout {
            Layout::Paper => Some(Activation::Relu),
            Layout::Report => self.config.stem.activation.get(),
        }
    }
}
