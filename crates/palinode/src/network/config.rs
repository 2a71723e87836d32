//! The configuration of a network.

use crate::Activation;
use crate::residual::BuiltInConfig;
use crate::reversible::Differentiation;
use crate::scheme::{Scheme, SchemeName, SchemeOptions, Start, Streams};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How stem, units, transitions and head are combined. Each layout is named after its source.
///
/// * `report`: J. Masin, N. Rothschild, *Final Report: Reversible Architectures for Arbitrarily Deep
///   Residual Neural Networks*, course 049064, Variational Methods in Image Processing;
/// * `paper`: B. Chang, L. Meng, E. Haber, L. Ruthotto, D. Begert, E. Holtham, *Reversible Architectures
///   for Arbitrarily Deep Residual Neural Networks*, AAAI 2018.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Stem convolution with bias → unit → 2×2 average pool, zeros appended to each stream → unit →
    /// pool, pad → unit → average pool to 2×2 → fully connected.
    #[default]
    Report,
    /// Stem convolution without bias, batch norm, ReLU; units of N+1, N, …, N and N−1 blocks (one
    /// block of every unit but the first runs before the transition, at the old width); zeros half
    /// before and half after each stream; batch norm, ReLU, global average pool, fully connected.
    /// Every two-stream residual except the very first has a second bias before K.
    Paper,
}

/// What follows the stem convolution in layout `report`. (Layout `paper` always has batch norm and
/// ReLU.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StemConfig {
    /// Batch norm after the convolution.
    pub norm: bool,
    /// Activation after the convolution and its norm.
    pub activation: StemActivation,
}

/// The activation after the stem, see [`StemConfig::activation`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StemActivation {
    /// No activation.
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

/// The transition from one unit to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransitionKind {
    /// 2×2 average pool and zero channels, without parameters.
    #[default]
    Pool,
    /// The first block of the next unit is an [`Entry`](super::Entry) with strided convolutions
    /// (baselines only).
    Strided,
    /// Zero channels only; the resolution does not change.
    Widen,
}

/// The complete configuration of a network. Weight files store it as `palinode.config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// The model's name, for information only. The other fields define the network.
    pub model: String,
    /// How stem, units, transitions and head are combined.
    pub layout: Layout,
    /// The scheme that integrates the units.
    pub scheme: SchemeName,
    /// The residual that is integrated.
    pub residual: BuiltInConfig,
    /// σ of the residuals.
    pub activation: Activation,
    /// Step h of the scheme.
    pub step: f64,
    /// X₋₁ of leapfrog.
    pub start: Start,
    /// Settings of the scheme, if it has any.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub options: SchemeOptions,
    /// Nominal number of blocks N of each unit, for 1 to [`UNITS`] units. In layout `paper`, except for
    /// baselines, the first unit has one more block and the last unit one fewer.
    pub blocks: Vec<usize>,
    /// Channels C of the state in each unit.
    pub widths: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Input channels.
    pub channels: usize,
    /// Input rows and columns.
    pub size: [usize; 2],
    /// What follows the stem convolution in layout `report`.
    pub stem: StemConfig,
    /// The kind of the transitions.
    #[serde(default)]
    pub transition: TransitionKind,
    /// The kind of each transition, one fewer than units. If empty, all are of kind `transition`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<TransitionKind>,
    /// Whether the residuals have batch norms in place of their biases.
    #[serde(default)]
    pub block_norm: bool,
    /// Rate of the dropout inside the residuals, after σ.
    #[serde(default)]
    pub block_dropout: f64,
    /// Rate of the dropout before the fully connected layer.
    #[serde(default)]
    pub dropout: f64,
    /// Stochastic depth: the probability that the last block is evaluated in a training step. The
    /// probability falls linearly with depth, from 1 before the first block. At 1 no block is dropped.
    #[serde(default = "one")]
    pub survival: f64,
    /// Channels of the grouped convolutions in the first unit (residual `aggregated`). They double
    /// from unit to unit.
    #[serde(default)]
    pub bottleneck: usize,
    /// Number of groups of these convolutions.
    #[serde(default)]
    pub groups: usize,
}

fn is_usual(options: &SchemeOptions) -> bool {
    *options == SchemeOptions::default()
}

fn one() -> f64 {
    1.0
}

/// The largest number of units in a network.
pub const UNITS: usize = 64;

impl NetworkConfig {
    /// The same configuration with these numbers of blocks and widths, one of each per unit.
    pub fn with_units(
        mut self,
        blocks: impl Into<Vec<usize>>,
        widths: impl Into<Vec<usize>>,
    ) -> Self {
        (self.blocks, self.widths) = (blocks.into(), widths.into());
        self
    }

    /// The actual number of blocks of each unit, its entry included.
    pub fn blocks_per_unit(&self) -> Vec<usize> {
        let mut blocks = self.blocks.clone();
        if self.layout == Layout::Paper && self.transition != TransitionKind::Strided {
            // One block of every unit but the first runs before the transition.
            if let Some(first) = blocks.first_mut() {
                *first += 1;
            }
            if let Some(last) = blocks.last_mut() {
                *last = last.saturating_sub(1);
            }
        }
        blocks
    }

    /// The kind of the transition to unit `unit`.
    pub fn transition_to(&self, unit: usize) -> TransitionKind {
        let own = unit.checked_sub(1).and_then(|index| self.transitions.get(index));
        own.copied().unwrap_or(self.transition)
    }

    /// Channels C of the state in unit `unit`.
    pub(crate) fn width(&self, unit: usize) -> usize {
        self.widths.get(unit).copied().unwrap_or(0)
    }

    /// Channels C of the state in the last unit.
    pub(crate) fn last_width(&self) -> usize {
        self.widths.last().copied().unwrap_or(0)
    }

    /// Whether unit `unit` begins with an [`Entry`](super::Entry), which counts as one of its blocks.
    ///
    /// # Panics
    /// If a baseline has no unit `unit`.
    pub fn has_entry(&self, unit: usize) -> bool {
        self.transition == TransitionKind::Strided
            && self.blocks[unit] > 0
            && (unit > 0 || self.stem_channels() != self.width(0))
    }

    /// Channels after the stem: the width of the first unit, or a quarter of it for `aggregated`.
    pub fn stem_channels(&self) -> usize {
        match self.residual {
            BuiltInConfig::Aggregated => self.width(0) / 4,
            _ => self.width(0),
        }
    }

    /// The default mode of differentiation: reversible if the scheme is, stored otherwise.
    pub fn usual_mode(&self) -> Differentiation {
        if self.stepped().is_reversible() {
            Differentiation::Reversible
        } else {
            Differentiation::Stored
        }
    }

    /// ε of every batch norm.
    pub(crate) fn epsilon(&self) -> f64 {
        match self.layout {
            Layout::Report => 1e-5,
            Layout::Paper => 1e-3,
        }
    }

    /// The probability for each residual of unit `unit`, entry first, to be evaluated in a training
    /// step. Empty if none is ever dropped.
    pub(super) fn survival_of(&self, unit: usize) -> Vec<f64> {
        if self.survival >= 1.0 {
            return Vec::new();
        }
        let units = self.blocks_per_unit();
        let (all, before) = (units.iter().sum::<usize>(), units[..unit].iter().sum::<usize>());
        let per_block = self.stepped().residuals_per_block();
        let probability =
            |block: usize| 1.0 - (before + block + 1) as f64 / all as f64 * (1.0 - self.survival);
        let blocks = (0..units[unit]).map(probability);
        blocks.flat_map(|probability| std::iter::repeat_n(probability, per_block)).collect()
    }

    /// The scheme with its step.
    pub(super) fn stepped(&self) -> Arc<dyn Scheme> {
        self.scheme.with_options(self.step, self.start, self.options)
    }

    /// How the scheme holds the state.
    pub fn streams(&self) -> Streams {
        self.stepped().streams()
    }

    /// Channels a residual works on in unit `unit`: half the width for two streams.
    pub fn residual_channels(&self, unit: usize) -> usize {
        match self.streams() {
            Streams::Two => self.width(unit) / 2,
            Streams::One => self.width(unit),
        }
    }

    /// Channels of unit `unit`'s grouped convolutions.
    pub(crate) fn bottleneck_of(&self, unit: usize) -> usize {
        let factor = u32::try_from(unit).ok().and_then(|unit| 1_usize.checked_shl(unit));
        self.bottleneck.saturating_mul(factor.unwrap_or(usize::MAX))
    }

    /// Rows and columns of the feature maps in unit `unit`.
    pub fn map_of(&self, unit: usize) -> [usize; 2] {
        (1..=unit).fold(self.size, |size, unit| match self.transition_to(unit) {
            TransitionKind::Pool | TransitionKind::Strided => size.map(|extent| extent / 2),
            TransitionKind::Widen => size,
        })
    }

    /// Rows and columns of the feature maps in the last unit.
    pub fn last_map(&self) -> [usize; 2] {
        self.map_of(self.widths.len().saturating_sub(1))
    }

    /// The number of inputs of the fully connected layer.
    pub fn features(&self) -> usize {
        match self.layout {
            Layout::Report => self.last_width() * 4,
            Layout::Paper => self.last_width(),
        }
    }
}
