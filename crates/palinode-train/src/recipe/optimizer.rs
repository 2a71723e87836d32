//! `[optimizer]` and `[smoothness]`: how weights are updated, and a penalty on rough ones.

use super::setters::setters;
use palinode::network::Parts;
use serde::{Deserialize, Serialize};

/// One of Burn's optimisers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerName {
    /// SGD with momentum μ and no dampening: g ← g + λw, v ← μv + g, w ← w − ηv.
    #[default]
    Sgd,
    /// AdamW: adaptive rates, decay w ← (1 − ηλ)w beside the gradient.
    AdamW,
    /// Muon for the kernels of convolutions, as matrices `[out, in · rows · columns]`; AdamW for all
    /// other parameters. Steps are scaled to the size of AdamW's, so one learning rate serves both.
    Muon,
}

impl OptimizerName {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::AdamW => "adamw",
            Self::Muon => "muon",
        }
    }
}

/// Which parameters weight decay acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decayed {
    /// Stem, unit and head weights.
    #[default]
    Kernels,
    /// Biases and norms too.
    All,
}

/// `[optimizer]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OptimizerRecipe {
    /// Which optimiser.
    pub name: OptimizerName,
    /// η: the schedule's peak or start value.
    pub learning_rate: f64,
    /// μ of SGD and of Muon (which uses Nesterov's form).
    pub momentum: f64,
    /// β₁ and β₂ of AdamW.
    pub betas: [f64; 2],
    /// ε of AdamW.
    pub epsilon: f64,
    /// λ: added to the gradient as λw by SGD, applied to the weight as (1 − ηλ)w by the others.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decayed: Decayed,
    /// Largest norm of the gradient over all parameters; 0: no limit.
    pub clip_norm: f64,
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        Self {
            name: OptimizerName::Sgd,
            learning_rate: 0.01,
            momentum: 0.9,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 2e-4,
            decayed: Decayed::Kernels,
            clip_norm: 0.0,
        }
    }
}

impl OptimizerRecipe {
    /// The memory that a step needs, the optimiser's state included: one or two numbers per parameter.
    pub(crate) fn with_state(&self, mut parts: Parts) -> Parts {
        let weights = parts.first().map_or(0, |&(_, bytes)| bytes);
        let states = match self.name {
            OptimizerName::Sgd | OptimizerName::Muon => 1,
            OptimizerName::AdamW => 2,
        };
        parts.push(("the optimiser's state", weights.saturating_mul(states)));
        parts
    }
}

setters!(OptimizerRecipe {
    with_name => name: OptimizerName,
    with_learning_rate => learning_rate: f64,
    with_momentum => momentum: f64,
    with_betas => betas: [f64; 2],
    with_epsilon => epsilon: f64,
    with_weight_decay => weight_decay: f64,
    with_decayed => decayed: Decayed,
    with_clip_norm => clip_norm: f64,
});

/// Between which weights a difference is penalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmoothnessKind {
    /// No penalty.
    #[default]
    None,
    /// Consecutive blocks of a unit: the paper's.
    Depth,
    /// Consecutive optimiser steps: the report's.
    Step,
}

/// `[smoothness]`: a penalty on rough weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SmoothnessRecipe {
    /// Which penalty.
    pub kind: SmoothnessKind,
    /// λ.
    pub strength: f64,
    /// Whether biases and norms count too, or the kernels alone.
    pub biases: bool,
}

impl Default for SmoothnessRecipe {
    /// No penalty; the strength is that of the paper and of the report.
    fn default() -> Self {
        Self { kind: SmoothnessKind::None, strength: 2e-4, biases: false }
    }
}

setters!(SmoothnessRecipe {
    with_kind => kind: SmoothnessKind,
    with_strength => strength: f64,
    with_biases => biases: bool,
});
