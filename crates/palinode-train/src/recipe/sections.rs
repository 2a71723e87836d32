//! `[model]` and `[data]`: which network, and which images.

use crate::data::{FolderOptions, ImageSource, Mean, Room, Selection, SourceName, Split};
use crate::error::Result;
use palinode::Activation;
use palinode::memory::{check_available, usable_bytes};
use palinode::network::{Layout, StemActivation, TransitionKind, Variant};
use palinode::residual::BuiltInConfig;
use palinode::scheme::{SchemeName, SchemeOptions, Start};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// `[model]`: a named model and the settings that differ from it. Unset fields are the model's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
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
    /// What leads from each unit to the next, one less than units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Vec<TransitionKind>>,
    /// The residual; unset: the scheme's usual one.
    pub residual: Option<BuiltInConfig>,
    /// The scheme.
    pub scheme: Option<SchemeName>,
    /// σ.
    pub activation: Activation,
    /// h.
    pub step: Option<f64>,
    /// X₋₁ of leapfrog.
    pub start: Start,
    /// Settings of the schemes `runge-kutta`, `damped` and `momentum`.
    pub options: SchemeOptions,
    /// Batch norm inside the residuals.
    pub block_norm: Option<bool>,
    /// Rate of the dropout inside the residuals.
    pub block_dropout: f64,
    /// Rate of the dropout before the fully connected layer.
    pub dropout: Option<f64>,
    /// Stochastic depth: the probability that the last block takes part in a training step.
    pub survival: f64,
    /// Channels of ResNeXt's first grouped convolutions; 0: the model's.
    pub bottleneck: usize,
    /// Their groups; 0: the model's.
    pub groups: usize,
    /// Norm and activation after the stem convolution in layout `report`.
    pub stem: StemRecipe,
}

/// `[model.stem]`: settings that differ from the model's own stem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StemRecipe {
    /// Batch norm after the convolution.
    pub norm: Option<bool>,
    /// An activation after that.
    pub activation: Option<StemActivation>,
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DataRecipe {
    /// Which data set.
    pub name: SourceName,
    /// Its directory; unset: where the data set is usually installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Size and channels that pictures in folders are brought to.
    pub folder: FolderOptions,
    /// MB of a machine's memory that decoded pictures are kept in; unset: half of what a training step leaves free. Other
    /// pictures are decoded each time they are needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// A predefined fold of the training split (STL-10), from 0; unset: the whole split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Fraction of the training split that is held out for validation, in 0…1.
    pub validation: f64,
    /// Fraction of the remaining images that is trained on, the same of every class, in 0…1.
    pub subset: f64,
    /// Which mean is subtracted from images.
    pub mean: Mean,
    /// Largest number of test images that are also training images: a data set's own duplicates.
    pub allowed_overlap: usize,
}

impl Default for ModelRecipe {
    fn default() -> Self {
        Self {
            name: "hamiltonian-74".to_owned(),
            variant: Variant::Plain,
            layout: None,
            blocks: None,
            widths: None,
            transitions: None,
            residual: None,
            scheme: None,
            activation: Activation::Relu,
            step: None,
            start: Start::AtRest,
            options: SchemeOptions::default(),
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
    /// One split; of the training split, the fold that is asked for.
    ///
    /// # Errors
    /// As [`SourceName::load_as`] and [`SourceName::fold`].
    pub fn load(&self, split: Split) -> Result<Arc<dyn ImageSource>> {
        let directory = self.dir.as_deref();
        let all = self.name.load_as(directory, split, self.folder)?;
        match (self.fold, split) {
            (Some(fold), Split::Train) => {
                let images = self.name.fold(directory, fold, all.len())?;
                Ok(Arc::new(Selection::new(all, images)?))
            }
            _ => Ok(all),
        }
    }

    /// The memory that pictures may be kept in by one of `processes` processes on this machine, each of which needs the parts
    /// `beside` as well.
    ///
    /// # Errors
    /// [`palinode::Error::Memory`] where what is needed is not free.
    pub fn room(&self, beside: &[(&str, u64)], processes: usize) -> Result<Room> {
        let processes = processes.max(1) as u64;
        let all = |bytes: u64| bytes.saturating_mul(processes);
        let mut parts: Vec<(&str, u64)> =
            beside.iter().map(|&(what, bytes)| (what, all(bytes))).collect();
        if let Some(megabytes) = self.memory {
            let bytes = megabytes.saturating_mul(1_000_000);
            parts.push(("kept pictures (data.memory)", bytes));
            check_available(&parts)?;
            return Ok(Room::new(bytes / processes));
        }
        check_available(&parts)?;
        let needed = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let free = usable_bytes().map_or(u64::MAX, |free| free.saturating_sub(needed) / 2);
        Ok(Room::new(free / processes))
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            name: SourceName::FashionMnistMini,
            dir: None,
            folder: FolderOptions::default(),
            memory: None,
            fold: None,
            validation: 0.1,
            subset: 1.0,
            mean: Mean::Channel,
            allowed_overlap: 0,
        }
    }
}
