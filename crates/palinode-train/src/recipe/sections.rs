//! `[model]` and `[data]`: which network, and which images.

use crate::data::{FolderOptions, ImageSource, Mean, Room, Selection, SourceName, Split};
use crate::error::Result;
use palinode::Activation;
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
    /// One split; of the training split, the fold that is asked for. As many pictures from folders as there is `room` for
    /// stay in memory once they are decoded.
    ///
    /// # Errors
    /// As [`SourceName::load_as`] and [`SourceName::fold`].
    pub fn load(&self, split: Split, room: &mut Room) -> Result<Arc<dyn ImageSource>> {
        let directory = self.dir.as_deref();
        let all = self.name.load_as(directory, split, self.folder, room)?;
        match (self.fold, split) {
            (Some(fold), Split::Train) => {
                let images = self.name.fold(directory, fold, all.len())?;
                Ok(Arc::new(Selection::new(all, images)?))
            }
            _ => Ok(all),
        }
    }

    /// The memory that pictures may be kept in by each of so many processes on this machine.
    ///
    /// # Errors
    /// [`palinode::Error::Memory`] where what the recipe asks for is not free.
    pub fn room(&self, processes: usize) -> Result<Room> {
        match self.folder.memory {
            Some(megabytes) => Room::new(megabytes.saturating_mul(1_000_000)),
            None => Ok(Room::half_of_free(processes)),
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
