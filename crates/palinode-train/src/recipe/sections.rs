//! The sections of a recipe and their defaults.

use crate::data::{Dataset, FolderOptions, Mean, SourceName, Split};
use crate::error::Result;
use palinode::Activation;
use palinode::network::{Layout, StemActivation, Variant};
use palinode::residual::BuiltInConfig;
use palinode::reversible::{Algorithm, Differentiation, Kernels, Precision};
use palinode::scheme::{SchemeName, Start};
use palinode_kernels::Isa;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[model]`: a model by name, and what differs from it. What is not given is the model's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRecipe {
    /// A name that [`NetworkConfig::named`](palinode::network::NetworkConfig::named) knows.
    pub name: String,
    /// One of the report's variants of it.
    pub variant: Variant,
    /// Report or paper.
    pub layout: Option<Layout>,
    /// Blocks per unit.
    pub blocks: Option<Vec<usize>>,
    /// Channels per unit.
    pub widths: Option<Vec<usize>>,
    /// The residual; not given: the scheme's usual one.
    pub residual: Option<BuiltInConfig>,
    /// The scheme.
    pub scheme: Option<SchemeName>,
    /// σ.
    pub activation: Activation,
    /// h.
    pub step: Option<f64>,
    /// X₋₁ of leapfrog.
    pub start: Start,
    /// Batch norm inside the residuals.
    pub block_norm: Option<bool>,
    /// Rate of the dropout inside the residuals.
    pub block_dropout: f64,
    /// Rate of the dropout before the fully connected layer.
    pub dropout: Option<f64>,
    /// Stochastic depth: the last block's probability to take part.
    pub survival: f64,
    /// Channels of ResNeXt's first grouped convolutions; 0: the model's.
    pub bottleneck: usize,
    /// Their groups; 0: the model's.
    pub groups: usize,
    /// What follows the stem convolution in layout `report`.
    pub stem: StemRecipe,
}

/// `[model.stem]`: what differs from the model's own stem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StemRecipe {
    /// Batch norm after the convolution.
    pub norm: Option<bool>,
    /// An activation after that.
    pub activation: Option<StemActivation>,
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Which data set.
    pub name: SourceName,
    /// Its directory, where it is not found by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// What pictures in folders become.
    pub folder: FolderOptions,
    /// A predefined fold of the training part (STL-10), from 0; the whole of it where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Share of the training part held out for validation, in 0…1.
    pub validation: f64,
    /// Share of the rest that is trained on, the same of every class, in 0…1.
    pub subset: f64,
    /// How images are standardised.
    pub mean: Mean,
    /// Test images that may also be among the training images: a data set's own duplicates.
    pub allowed_overlap: usize,
}

/// `[optimizer]`: SGD with momentum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerRecipe {
    /// The schedule's peak or start value.
    pub learning_rate: f64,
    /// μ of v ← μv + g.
    pub momentum: f64,
    /// λ of g ← g + λw.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decayed: Decayed,
    /// Largest norm of the whole gradient; 0: no limit.
    pub clip_norm: f64,
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

/// `[training]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingRecipe {
    /// Passes over the training images; 0 writes the initial weights and stops.
    pub epochs: usize,
    /// Images per step.
    pub batch_size: usize,
    /// Whether the order of the images changes from epoch to epoch.
    pub shuffle: bool,
    /// ε of smoothed targets: 1 − ε + ε/classes for the label, ε/classes for every other class.
    pub label_smoothing: f64,
    /// Decay of the moving average of the weights, which is then what is validated, saved and tested;
    /// 0: none.
    pub average: f64,
    /// Epochs between two validations (the last epoch always has one).
    pub validate_every: usize,
    /// Whether the test part is read at the end.
    pub test: bool,
    /// How units are differentiated; not given: reversible where the scheme is, otherwise stored.
    pub mode: Option<Differentiation>,
    /// Instruction set of the kernels; a run records the one it began with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isa: Option<Isa>,
    /// How the kernels compute the units' 3×3 convolutions in training; not given: the quickest way for
    /// the images' size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// What the factors of the units' products for gradients are rounded to.
    pub gradients: Precision,
}

impl TrainingRecipe {
    /// How the kernels compute units.
    pub fn kernels(&self) -> Kernels {
        Kernels::default().with_algorithm(self.algorithm).with_gradients(self.gradients)
    }
}

impl Default for ModelRecipe {
    fn default() -> Self {
        Self {
            name: "hamiltonian-74".to_owned(),
            variant: Variant::Plain,
            layout: None,
            blocks: None,
            widths: None,
            residual: None,
            scheme: None,
            activation: Activation::Relu,
            step: None,
            start: Start::AtRest,
            block_norm: None,
            block_dropout: 0.0,
            dropout: None,
            survival: 1.0,
            bottleneck: 0,
            groups: 0,
            stem: StemRecipe::default(),
        }
    }
}

impl DataRecipe {
    /// Reads one part; of the training part, the fold that is asked for.
    ///
    /// # Errors
    /// As [`SourceName::load`] and [`SourceName::fold`].
    pub fn load(&self, part: Split) -> Result<Dataset> {
        let directory = self.dir.as_deref();
        let all = self.name.load_as(directory, part, self.folder)?;
        match (self.fold, part) {
            (Some(fold), Split::Train) => {
                Ok(all.select(&self.name.fold(directory, fold, all.len())?))
            }
            _ => Ok(all),
        }
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            name: SourceName::FashionMnistMini,
            dir: None,
            folder: FolderOptions::default(),
            fold: None,
            validation: 0.1,
            subset: 1.0,
            mean: Mean::Channel,
            allowed_overlap: 0,
        }
    }
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            momentum: 0.9,
            weight_decay: 2e-4,
            decayed: Decayed::Kernels,
            clip_norm: 0.0,
        }
    }
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self {
            epochs: 200,
            batch_size: 128,
            shuffle: true,
            label_smoothing: 0.0,
            average: 0.0,
            validate_every: 1,
            test: true,
            mode: None,
            isa: None,
            algorithm: None,
            gradients: Precision::F32,
        }
    }
}
