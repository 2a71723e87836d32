//! What a network is made of, in numbers and names.

use crate::Activation;
use crate::error::{Error, Result};
use crate::residual::BuiltInConfig;
use crate::reversible::Differentiation;
use crate::scheme::{SchemeName, Start, Streams};
use serde::{Deserialize, Serialize};

/// The two ways to put the units together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Stem convolution with bias → unit → 2×2 average pool, zeros appended to each stream → unit →
    /// pool, pad → unit → average pool to 2×2 → fully connected.
    #[default]
    Report,
    /// Stem convolution without bias, batch norm, ReLU; units of N+1, N and N−1 blocks (the first
    /// block of units 2 and 3 runs at the old width); zeros half before and half after each stream;
    /// batch norm, ReLU, global average pool, fully connected. Two-stream residuals have a second
    /// bias before K, all but the very first.
    Paper,
}

/// What follows the stem convolution (layout `paper` has its own: batch norm and ReLU).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StemConfig {
    /// Batch norm after the convolution.
    pub norm: bool,
    /// An activation after that.
    pub activation: StemActivation,
}

/// [`StemConfig::activation`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StemActivation {
    /// None.
    #[default]
    None,
    /// See [`Activation::Relu`].
    Relu,
    /// See [`Activation::Tanh`].
    Tanh,
    /// See [`Activation::Softplus`].
    Softplus,
}

impl StemActivation {
    /// The activation, if any.
    pub fn get(self) -> Option<Activation> {
        match self {
            Self::None => None,
            Self::Relu => Some(Activation::Relu),
            Self::Tanh => Some(Activation::Tanh),
            Self::Softplus => Some(Activation::Softplus),
        }
    }
}

/// What leads from one unit to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransitionKind {
    /// 2×2 average pool and zero channels, without parameters.
    #[default]
    Pool,
    /// The unit's first block is an [`Entry`](super::Entry) with strided convolutions: the baselines.
    Strided,
}

/// A complete description of a network; a weight file holds it as `palinode.config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The name it was made from, for people; the other fields say what it is.
    pub model: String,
    /// How the units are put together.
    pub layout: Layout,
    /// How a unit is integrated.
    pub scheme: SchemeName,
    /// What is integrated.
    pub residual: BuiltInConfig,
    /// σ of the residuals.
    pub activation: Activation,
    /// h.
    pub step: f64,
    /// X₋₁ of leapfrog.
    pub start: Start,
    /// Nominal blocks N per unit (layout `paper` has N+1, N, N−1).
    pub blocks: [usize; 3],
    /// Channels C of the state in each unit.
    pub widths: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// Input channels.
    pub channels: usize,
    /// Input rows and columns.
    pub size: [usize; 2],
    /// What follows the stem convolution in layout `report`.
    pub stem: StemConfig,
    /// What leads from one unit to the next.
    #[serde(default)]
    pub transition: TransitionKind,
    /// Batch norm inside the residuals, in the place of their biases.
    #[serde(default)]
    pub block_norm: bool,
    /// Rate of the dropout inside the residuals, behind σ.
    #[serde(default)]
    pub block_dropout: f64,
    /// Rate of the dropout before the fully connected layer.
    #[serde(default)]
    pub dropout: f64,
    /// Stochastic depth: probability that the last block takes part in a training step; it falls
    /// linearly from 1 before the first. 1: all blocks always do.
    #[serde(default = "one")]
    pub survival: f64,
    /// Channels of the first unit's grouped convolutions (residual `aggregated`); they double from
    /// unit to unit.
    #[serde(default)]
    pub bottleneck: usize,
    /// Groups of these convolutions.
    #[serde(default)]
    pub groups: usize,
}

fn one() -> f64 {
    1.0
}

impl NetworkConfig {
    /// Blocks that each unit really has.
    pub fn blocks_per_unit(&self) -> [usize; 3] {
        let [first, second, third] = self.blocks;
        match (self.layout, self.transition) {
            (_, TransitionKind::Strided) => self.blocks,
            (Layout::Report, _) => self.blocks,
            (Layout::Paper, _) => [first + 1, second, third.saturating_sub(1)],
        }
    }

    /// Whether unit `unit` begins with an [`Entry`](super::Entry), one of its blocks.
    pub fn has_entry(&self, unit: usize) -> bool {
        self.transition == TransitionKind::Strided
            && self.blocks[unit] > 0
            && (unit > 0 || self.stem_channels() != self.widths[0])
    }

    /// Channels behind the stem: the first unit's, a quarter of it before bottlenecks.
    pub fn stem_channels(&self) -> usize {
        match self.residual {
            BuiltInConfig::Aggregated => self.widths[0] / 4,
            _ => self.widths[0],
        }
    }

    /// The mode of differentiation that goes without saying: reversible where the scheme is.
    pub fn usual_mode(&self) -> Differentiation {
        if self.scheme.with_step(self.step, self.start).is_reversible() {
            Differentiation::Reversible
        } else {
            Differentiation::Stored
        }
    }

    /// Probabilities that the residuals of unit `unit` take part in a step, its entry's first; empty
    /// where all always do.
    pub(super) fn survival_of(&self, unit: usize) -> Vec<f64> {
        if self.survival >= 1.0 {
            return Vec::new();
        }
        let units = self.blocks_per_unit();
        let (all, before) = (units.iter().sum::<usize>(), units[..unit].iter().sum::<usize>());
        let per_block = self.scheme.with_step(self.step, self.start).residuals_per_block();
        let probability =
            |block: usize| 1.0 - (before + block + 1) as f64 / all as f64 * (1.0 - self.survival);
        let blocks = (0..units[unit]).map(probability);
        blocks.flat_map(|probability| std::iter::repeat_n(probability, per_block)).collect()
    }

    /// How states are held.
    pub fn streams(&self) -> Streams {
        self.scheme.with_step(self.step, self.start).streams()
    }

    /// Channels a residual works on in unit `unit`: half the width for two streams.
    pub fn residual_channels(&self, unit: usize) -> usize {
        match self.streams() {
            Streams::Two => self.widths[unit] / 2,
            Streams::One => self.widths[unit],
        }
    }

    /// Layers as the models' names count them: the convolutions of all blocks, stem and head.
    pub fn layers(&self) -> usize {
        let per_residual = match self.residual {
            BuiltInConfig::Symmetric | BuiltInConfig::Basic => 2,
            // The paper counts K and Kᵀ of the midpoint network apart.
            BuiltInConfig::Antisymmetric => 2,
            BuiltInConfig::Layer => 1,
            BuiltInConfig::Aggregated => 3,
            // The longest way through A and through Aᵀ.
            BuiltInConfig::Inception | BuiltInConfig::AntisymmetricInception => 4,
        };
        let evaluations = match self.streams() {
            Streams::Two => 2,
            Streams::One => 1,
        };
        self.blocks.iter().sum::<usize>() * evaluations * per_residual + 2
    }

    /// Multiplications and additions of a forward pass on one image, counted apart: 2 per term of
    /// every convolution (as if computed directly) and of the fully connected layer. A backward pass
    /// has twice as many, and three times where it evaluates the units once more.
    pub fn forward_operations(&self) -> usize {
        let [mut rows, mut columns] = self.size;
        let per_block = match self.streams() {
            Streams::Two => 2,
            Streams::One => 1,
        };
        let mut terms = rows * columns * 9 * self.channels * self.stem_channels();
        for (unit, blocks) in self.blocks_per_unit().into_iter().enumerate() {
            if unit > 0 {
                (rows, columns) = (rows / 2, columns / 2);
            }
            terms += blocks * per_block * rows * columns * self.terms_per_pixel(unit);
        }
        2 * (terms + self.features() * self.classes)
    }

    /// Terms of a residual's convolutions for one pixel of unit `unit` (an entry's, which has fewer
    /// inputs, counted like the others).
    fn terms_per_pixel(&self, unit: usize) -> usize {
        let channels = self.residual_channels(unit);
        let square = channels * channels;
        match self.residual {
            BuiltInConfig::Symmetric | BuiltInConfig::Basic => 18 * square,
            BuiltInConfig::Antisymmetric | BuiltInConfig::Layer => 9 * square,
            // Once there and once back: 1 + (1 + 9) + (1 + 25) taps of a quarter's width.
            BuiltInConfig::Inception | BuiltInConfig::AntisymmetricInception => {
                2 * 37 * (channels / 4).pow(2)
            }
            BuiltInConfig::Aggregated => {
                let d = self.bottleneck << unit;
                2 * channels * d + 9 * d * d / self.groups.max(1)
            }
        }
    }

    /// The weights of kernels, stem and head: fewer than all parameters, without building anything.
    pub(crate) fn least_parameters(&self) -> usize {
        let per_block = self.scheme.with_step(self.step, self.start).residuals_per_block();
        let units = self.blocks_per_unit().into_iter().enumerate();
        let per_residual = |unit: usize| match self.residual {
            // The same array serves K and Kᵀ.
            BuiltInConfig::Symmetric => 9 * self.residual_channels(unit).pow(2),
            BuiltInConfig::Inception | BuiltInConfig::AntisymmetricInception => {
                self.terms_per_pixel(unit) / 2
            }
            // An entry has at least half of the inputs.
            BuiltInConfig::Basic | BuiltInConfig::Aggregated => self.terms_per_pixel(unit) / 2,
            BuiltInConfig::Antisymmetric | BuiltInConfig::Layer => self.terms_per_pixel(unit),
        };
        let kernels = units.map(|(unit, blocks)| blocks * per_block * per_residual(unit));
        let around = 9 * self.channels * self.stem_channels() + self.features() * self.classes;
        kernels.sum::<usize>() + around
    }

    /// Rows and columns of the last unit's map.
    pub fn last_map(&self) -> [usize; 2] {
        self.size.map(|extent| extent / 4)
    }

    /// Features that reach the fully connected layer.
    pub fn features(&self) -> usize {
        match self.layout {
            Layout::Report => self.widths[2] * 4,
            Layout::Paper => self.widths[2],
        }
    }

    /// Checks that a network of this description can exist.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that does not fit.
    pub fn validate(&self) -> Result<()> {
        let largest = [
            ("model.blocks", self.blocks.into_iter().max().unwrap_or(0), 100_000),
            ("model.widths", self.widths.into_iter().max().unwrap_or(0), 16_384),
            ("classes", self.classes, 256),
            ("channels", self.channels, 4_096),
            ("size", self.size.into_iter().max().unwrap_or(0), 16_384),
        ];
        for (field, value, limit) in largest {
            if value > limit {
                let reason = format!("{value} is more than this program handles, {limit}");
                return Err(Error::config(field, reason));
            }
        }
        let kernels: f64 = self
            .blocks_per_unit()
            .into_iter()
            .enumerate()
            .map(|(unit, blocks)| {
                let wide = (self.widths[unit] as f64).powi(2);
                let narrow = (self.bottleneck as f64 * 4.0).powi(2) / self.groups.max(1) as f64;
                blocks as f64 * (18.0 * wide + 9.0 * narrow)
            })
            .sum();
        if kernels > 4e9 {
            let reason = format!("the units would have about {kernels:.0e} parameters");
            return Err(Error::config("model", reason));
        }
        let [first, second, third] = self.widths;
        if first == 0 || first > second || second > third {
            return Err(Error::config(
                "model.widths",
                format!(
                    "{:?}: widths are positive and never fall, since zero channels are appended",
                    self.widths
                ),
            ));
        }
        if self.streams() == Streams::Two && self.widths.iter().any(|w| !w.is_multiple_of(2)) {
            return Err(Error::config(
                "model.widths",
                format!("{:?}: a two-stream scheme splits the channels in halves", self.widths),
            ));
        }
        self.validate_residual()?;
        for (field, rate) in
            [("model.dropout", self.dropout), ("model.block_dropout", self.block_dropout)]
        {
            if !(0.0..1.0).contains(&rate) {
                return Err(Error::config(field, format!("{rate} is not at least 0 and below 1")));
            }
        }
        if !(self.survival > 0.0 && self.survival <= 1.0) {
            let reason = format!("{} is not above 0 and at most 1", self.survival);
            return Err(Error::config("model.survival", reason));
        }
        let step_fits = self.step.is_finite() && self.step > 0.0;
        if !step_fits {
            return Err(Error::config("model.step", format!("{} is not positive", self.step)));
        }
        let pooled = self.transition == TransitionKind::Pool;
        if self.layout == Layout::Paper && pooled && self.blocks[2] == 0 {
            return Err(Error::config(
                "model.blocks",
                "layout `paper` moves a block of unit 3 into unit 2, so it needs at least one",
            ));
        }
        if self.classes < 2 {
            return Err(Error::config("classes", format!("{} is fewer than two", self.classes)));
        }
        if self.channels == 0 {
            return Err(Error::config("channels", "an image has at least one channel"));
        }
        let smallest = if self.layout == Layout::Report { 2 } else { 1 };
        if self.last_map().iter().any(|&extent| extent < smallest) {
            return Err(Error::config(
                "size",
                format!(
                    "{}×{} images leave a last map of {}×{}, but the head needs {smallest}×{smallest}",
                    self.size[0],
                    self.size[1],
                    self.last_map()[0],
                    self.last_map()[1],
                ),
            ));
        }
        Ok(())
    }

    /// The part of [`validate`](Self::validate) that is about the residual and what it needs.
    fn validate_residual(&self) -> Result<()> {
        let config = |field: &str, reason: String| Err(Error::config(field, reason));
        if self.residual.has_groups_of_four() {
            for unit in 0..3 {
                let channels = self.residual_channels(unit);
                if !channels.is_multiple_of(4) {
                    let reason = format!(
                        "{:?}: an inception residual of {channels} channels cannot be split in four \
                         groups",
                        self.widths
                    );
                    return config("model.widths", reason);
                }
            }
        }
        let single = self.scheme == SchemeName::HamiltonianSingle;
        if single && self.block_norm && self.residual != BuiltInConfig::Layer {
            let reason = "the single-layer Hamiltonian network evaluates two functions of every residual, \
                          and only `layer` has a norm for each";
            return config("model.block_norm", reason.to_owned());
        }
        let strided = self.transition == TransitionKind::Strided;
        if !self.residual.is_baseline() {
            if strided {
                let reason = format!(
                    "{:?} does not fit a baseline's strided units; `basic` and `aggregated` do",
                    self.residual
                );
                return config("model.residual", reason);
            }
            return Ok(());
        }
        if !strided {
            let reason =
                format!("{:?} is a baseline's, between strided transitions", self.residual);
            return config("model.residual", reason);
        }
        if self.layout != Layout::Paper {
            let reason = "the baselines have stem and head of layout `paper`";
            return config("model.layout", reason.to_owned());
        }
        if self.size.iter().any(|extent| !extent.is_multiple_of(4)) {
            let reason = format!(
                "{}×{}: strided transitions need extents that are multiples of four",
                self.size[0], self.size[1]
            );
            return config("size", reason);
        }
        if self.residual == BuiltInConfig::Aggregated {
            if self.blocks[0] == 0 {
                let reason = "the first unit widens the stem's channels, so it needs a block";
                return config("model.blocks", reason.to_owned());
            }
            if self.streams() == Streams::Two {
                return config("model.scheme", "`aggregated` is a one-state residual".to_owned());
            }
            let fits = self.groups > 0
                && self.bottleneck > 0
                && self.bottleneck.is_multiple_of(self.groups)
                && self.bottleneck <= 16_384;
            if !fits {
                let reason =
                    format!("{} channels do not make {} groups", self.bottleneck, self.groups);
                return config("model.bottleneck", reason);
            }
            if self.widths[0] < 4 {
                return config("model.widths", "bottlenecks need four channels or more".to_owned());
            }
        }
        Ok(())
    }
}
