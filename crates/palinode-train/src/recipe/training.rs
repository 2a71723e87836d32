//! `[training]`: how long, in which batches, and from which weights.

use super::setters::setters;
use crate::error::{Error, Result};
use palinode::device::DeviceName;
use palinode::network::{Modes, NetworkConfig, StateKind};
use palinode::precision::NumberType;
use palinode::reversible::{Algorithm, Precision};
use palinode::{Context, ContextBuilder, Microbatches, NormStatistics};
use palinode_kernels::Isa;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What becomes of the fully connected layer where training starts from a weight file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadStart {
    /// It is taken from the file.
    #[default]
    Kept,
    /// It is initialised: for other classes than the file's.
    New,
}

/// What happens where the states of a unit do not come back well enough in mode `reversible`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrift {
    /// The unit is kept in more parts, and the step is repeated.
    #[default]
    Checkpoint,
    /// The run ends with an error.
    Stop,
    /// The run says so once for every unit, and goes on.
    Report,
}

/// `[training]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrainingRecipe {
    /// Passes over the training images; 0 writes the initial weights and stops.
    pub epochs: usize,
    /// Images per batch.
    pub batch_size: usize,
    /// In how many parts the sums over the images of a batch are taken: a power of two. So many ranks, or fewer, can share a
    /// batch and give the same bits.
    pub microbatches: usize,
    /// Which images batch norms take their statistics over. Over micro-batches, ranks need no message for it.
    pub norm_statistics: NormStatistics,
    /// Batches whose mean gradient makes one optimiser step.
    pub accumulate: usize,
    /// Whether the order of the images changes from epoch to epoch.
    pub shuffle: bool,
    /// ε of smoothed targets: 1 − ε + ε/classes for the label, ε/classes for every other class.
    pub label_smoothing: f64,
    /// Decay of the moving average of the weights, which is then validated, saved and tested in their
    /// place; 0: no average.
    pub average: f64,
    /// Epochs between two validations. The last epoch always has one.
    pub validate_every: usize,
    /// Whether the network is tested at the end.
    pub test: bool,
    /// A weight file to start from: every array that fits by name and shape is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// What becomes of the fully connected layer of that file.
    pub head: HeadStart,
    /// Parameters that are not trained, by the beginnings of their names (`stem`, `units.0`).
    pub freeze: Vec<String>,
    /// What the network is computed on. Unset, a recipe means the CPU, and a
    /// [`Trainer`](crate::train::Trainer) the device that the network is on. A run may continue on another device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// The type that the units' residuals are evaluated in; state, sums, norms and weights stay in f32. The half types
    /// are for devices that compute in them.
    pub precision: NumberType,
    /// How the units are differentiated, all in one mode or each in its own; unset: reversible where the scheme is, otherwise stored.
    pub mode: Option<Modes>,
    /// Whether the states of the units come back to the bit; unset: exact in mode reversible, otherwise float.
    pub state: Option<StateKind>,
    /// The largest relative difference between a unit's first state and the one that comes back in mode `reversible`.
    pub reversal_tolerance: f64,
    /// The largest relative difference between the gradients of a unit and those of the same unit kept in more parts.
    pub gradient_tolerance: f64,
    /// What happens where one of them is exceeded.
    pub reversal_on_drift: OnDrift,
    /// Instruction set of the kernels. A run records the one it began with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isa: Option<Isa>,
    /// How the kernels compute the units' 3×3 convolutions in training; unset: the fastest way for the
    /// size of the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Precision of the factors of the units' products for gradients.
    pub gradients: Precision,
}

impl TrainingRecipe {
    /// How the units of a network of `config` are differentiated.
    pub fn modes_for(&self, config: &NetworkConfig) -> Modes {
        self.mode.clone().unwrap_or_else(|| config.usual_mode().into())
    }

    /// What a run computes with: the threads of `machine`, and this instruction set, algorithm and
    /// precision.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] for what the machine does not have.
    pub fn context(&self, machine: ContextBuilder) -> Result<Context> {
        let microbatches = Microbatches::new(self.microbatches)
            .map_err(|error| Error::config("training.microbatches", error.to_string()))?;
        let chosen = machine.algorithm(self.algorithm).gradients(self.gradients);
        let chosen = chosen.microbatches(Some(microbatches)).norm_statistics(self.norm_statistics);
        let chosen = match self.isa {
            Some(isa) => chosen.isa(isa),
            None => chosen,
        };
        chosen.build().map_err(|error| {
            let field = match error {
                palinode_kernels::Error::Precision { .. } => "training.gradients",
                palinode_kernels::Error::InstructionSet { .. } => "training.isa",
                _ => "--threads",
            };
            Error::config(field, error.to_string())
        })
    }
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self {
            epochs: 200,
            batch_size: 128,
            microbatches: 8,
            norm_statistics: NormStatistics::Batch,
            accumulate: 1,
            shuffle: true,
            label_smoothing: 0.0,
            average: 0.0,
            validate_every: 1,
            test: true,
            start: None,
            head: HeadStart::Kept,
            freeze: Vec::new(),
            device: None,
            precision: NumberType::F32,
            mode: None,
            state: None,
            reversal_tolerance: 1e-3,
            gradient_tolerance: 1e-2,
            reversal_on_drift: OnDrift::Checkpoint,
            isa: None,
            algorithm: None,
            gradients: Precision::F32,
        }
    }
}

setters!(TrainingRecipe {
    with_epochs => epochs: usize,
    with_batch_size => batch_size: usize,
    with_microbatches => microbatches: usize,
    with_norm_statistics => norm_statistics: NormStatistics,
    with_accumulate => accumulate: usize,
    with_shuffle => shuffle: bool,
    with_label_smoothing => label_smoothing: f64,
    with_average => average: f64,
    with_validate_every => validate_every: usize,
    with_test => test: bool,
    with_start => start: Option<PathBuf>,
    with_head => head: HeadStart,
    with_freeze => freeze: Vec<String>,
    with_device => device: Option<DeviceName>,
    with_precision => precision: NumberType,
    with_mode => mode: Option<Modes>,
    with_state => state: Option<StateKind>,
    with_reversal_tolerance => reversal_tolerance: f64,
    with_gradient_tolerance => gradient_tolerance: f64,
    with_reversal_on_drift => reversal_on_drift: OnDrift,
    with_gradients => gradients: Precision,
});
