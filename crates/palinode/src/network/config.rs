//! What a network is made of, in numbers and names.

use crate::Activation;
use crate::error::{Error, Result};
use crate::residual::BuiltInConfig;
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
}

impl NetworkConfig {
    /// Blocks that each unit really has.
    pub fn blocks_per_unit(&self) -> [usize; 3] {
        let [first, second, third] = self.blocks;
        match self.layout {
            Layout::Report => self.blocks,
            Layout::Paper => [first + 1, second, third.saturating_sub(1)],
        }
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
            BuiltInConfig::Symmetric => 2,
            // The paper counts K and Kᵀ of the midpoint network apart.
            BuiltInConfig::Antisymmetric => 2,
            BuiltInConfig::Layer => 1,
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
        let per_residual = match self.residual {
            BuiltInConfig::Symmetric => 2,
            BuiltInConfig::Antisymmetric | BuiltInConfig::Layer => 1,
        };
        let per_block = match self.streams() {
            Streams::Two => 2,
            Streams::One => 1,
        };
        let mut terms = rows * columns * 9 * self.channels * self.widths[0];
        for (unit, blocks) in self.blocks_per_unit().into_iter().enumerate() {
            if unit > 0 {
                (rows, columns) = (rows / 2, columns / 2);
            }
            let convolution = rows * columns * 9 * self.residual_channels(unit).pow(2);
            terms += blocks * per_block * per_residual * convolution;
        }
        2 * (terms + self.features() * self.classes)
    }

    /// The kernels' parameters: fewer than all, without building anything.
    pub(crate) fn least_parameters(&self) -> usize {
        let per_block = self.scheme.with_step(self.step, self.start).residuals_per_block();
        let units = self.blocks_per_unit().into_iter().enumerate();
        units
            .map(|(unit, blocks)| blocks * per_block * 9 * self.residual_channels(unit).pow(2))
            .sum()
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
            .map(|(unit, blocks)| 18.0 * blocks as f64 * (self.widths[unit] as f64).powi(2))
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
        let step_fits = self.step.is_finite() && self.step > 0.0;
        if !step_fits {
            return Err(Error::config("model.step", format!("{} is not positive", self.step)));
        }
        if self.layout == Layout::Paper && self.blocks[2] == 0 {
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
}
