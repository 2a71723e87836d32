//! Named models, with the names of the paper's tables.

use super::config::{Layout, NetworkConfig, StemConfig, TransitionKind};
use super::variant::Variant;
use crate::Activation;
use crate::error::{Error, Result};
use crate::residual::BuiltInConfig;
use crate::scheme::{SchemeName, SchemeOptions, Start};

/// A named model: scheme, residual, blocks and widths.
///
/// The number in a name counts layers: four convolutions per two-layer Hamiltonian or RevNet block, two
/// per midpoint, leapfrog or ResNet block, three per ResNeXt block, plus stem and head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Named {
    /// The model's name.
    pub name: &'static str,
    /// The scheme that integrates the units.
    pub scheme: SchemeName,
    /// The residual; `None` for the scheme's usual one.
    pub residual: Option<BuiltInConfig>,
    /// Number of blocks N of each unit.
    pub blocks: [usize; 3],
    /// Channels C of the state in each unit.
    pub widths: [usize; 3],
}

const fn of_paper(
    name: &'static str,
    scheme: SchemeName,
    blocks: [usize; 3],
    widths: [usize; 3],
) -> Named {
    Named { name, scheme, residual: None, blocks, widths }
}

const fn baseline(
    name: &'static str,
    scheme: SchemeName,
    residual: BuiltInConfig,
    blocks: usize,
    widths: [usize; 3],
) -> Named {
    Named { name, scheme, residual: Some(residual), blocks: [blocks; 3], widths }
}

use BuiltInConfig::{Aggregated, Basic};
use SchemeName::{Coupling, Euler, Hamiltonian, Leapfrog, Midpoint};

/// The models of the paper's tables and the report's "previous solutions".
pub const NAMED: [Named; 13] = [
    of_paper("hamiltonian-74", Hamiltonian, [6, 6, 6], [32, 64, 112]),
    of_paper("hamiltonian-218", Hamiltonian, [18, 18, 18], [32, 64, 128]),
    of_paper("hamiltonian-1202", Hamiltonian, [100, 100, 100], [32, 64, 128]),
    of_paper("midpoint-26", Midpoint, [4, 4, 4], [32, 64, 112]),
    of_paper("midpoint-62", Midpoint, [10, 10, 10], [32, 64, 128]),
    of_paper("leapfrog-26", Leapfrog, [4, 4, 4], [32, 64, 112]),
    of_paper("leapfrog-62", Leapfrog, [10, 10, 10], [32, 64, 128]),
    baseline("resnet-32", Euler, Basic, 5, [16, 32, 64]),
    baseline("resnet-110", Euler, Basic, 18, [16, 32, 64]),
    baseline("resnet-1202", Euler, Basic, 200, [16, 32, 64]),
    baseline("revnet-38", Coupling, Basic, 3, [32, 64, 112]),
    baseline("revnet-110", Coupling, Basic, 9, [32, 64, 128]),
    baseline("resnext-29", Euler, Aggregated, 3, [256, 512, 1024]),
];

/// Models named after their schemes, for networks of any depth and width.
const FREE: [Named; 5] = [
    of_paper("hamiltonian", Hamiltonian, [6, 6, 6], [32, 64, 112]),
    of_paper("hamiltonian-single", SchemeName::HamiltonianSingle, [6, 6, 6], [32, 64, 112]),
    of_paper("midpoint", Midpoint, [6, 6, 6], [32, 64, 112]),
    of_paper("leapfrog", Leapfrog, [6, 6, 6], [32, 64, 112]),
    of_paper("coupling", Coupling, [6, 6, 6], [32, 64, 112]),
];

impl NetworkConfig {
    /// The model called `name`: one of [`NAMED`], or a scheme (`hamiltonian`, `hamiltonian-single`,
    /// `midpoint`, `leapfrog`, `coupling`) with six blocks per unit and widths 32-64-112, which
    /// [`with_units`](Self::with_units) changes.
    ///
    /// Models have 10 classes and RGB images of 32×32 pixels, h = 0.1 and layout `report`; baselines
    /// have h = 1 and layout `paper`.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names if there is no such model.
    pub fn named(name: &str) -> Result<Self> {
        let mut all = NAMED.iter().chain(&FREE);
        let Some(model) = all.find(|model| model.name == name) else {
            let names = NAMED.iter().chain(&FREE).map(|model| model.name);
            return Err(Error::unknown("model.name", "model", name, names));
        };
        let &Named { scheme, blocks, widths, .. } = model;
        let is_baseline = model.residual.is_some();
        let residual = model.residual.unwrap_or(BuiltInConfig::usual_for(scheme));
        let is_aggregated = residual == Aggregated;
        Ok(Self {
            model: name.to_owned(),
            layout: if is_baseline { Layout::Paper } else { Layout::Report },
            scheme,
            residual,
            activation: Activation::Relu,
            step: if is_baseline { 1.0 } else { 0.1 },
            start: Start::AtRest,
            options: SchemeOptions::default(),
            blocks: blocks.to_vec(),
            widths: widths.to_vec(),
            classes: 10,
            channels: 3,
            size: [32, 32],
            stem: StemConfig::default(),
            transition: if is_baseline { TransitionKind::Strided } else { TransitionKind::Pool },
            transitions: Vec::new(),
            block_norm: is_baseline,
            block_dropout: 0.0,
            dropout: 0.0,
            survival: 1.0,
            // 8 groups of 64 channels ("8×64d").
            bottleneck: if is_aggregated { 512 } else { 0 },
            groups: if is_aggregated { 8 } else { 0 },
        })
    }

    /// The same configuration in one of the report's variants.
    pub fn with_variant(mut self, variant: Variant) -> Self {
        if variant != Variant::Plain {
            self.stem.norm = true;
        }
        match variant {
            Variant::Plain => (),
            Variant::Regularized => self.dropout = 0.4,
            Variant::Inception => self.residual = BuiltInConfig::inception_for(self.scheme),
            Variant::InceptionLarge => {
                self.residual = BuiltInConfig::inception_for(self.scheme);
                return self.with_units([18, 18, 18], [64, 128, 256]);
            }
        }
        self
    }

    /// The same configuration in another layout.
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The same configuration with another σ in the residuals.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The same configuration for images `[channels, rows, columns]` of `classes` classes.
    pub fn for_data(mut self, channels: usize, size: [usize; 2], classes: usize) -> Self {
        self.channels = channels;
        self.size = size;
        self.classes = classes;
        self
    }
}
