//! Models by name, as the paper's tables call them.

use super::config::{Layout, NetworkConfig, StemConfig};
use crate::Activation;
use crate::error::{Error, Result};
use crate::scheme::{SchemeName, Start};

/// A named model: scheme, blocks and widths.
///
/// The number in a name counts layers: four convolutions per two-layer Hamiltonian block, two per
/// midpoint or leapfrog block, stem and head.
pub const NAMED: [(&str, SchemeName, [usize; 3], [usize; 3]); 7] = [
    ("hamiltonian-74", SchemeName::Hamiltonian, [6, 6, 6], [32, 64, 112]),
    ("hamiltonian-218", SchemeName::Hamiltonian, [18, 18, 18], [32, 64, 128]),
    ("hamiltonian-1202", SchemeName::Hamiltonian, [100, 100, 100], [32, 64, 128]),
    ("midpoint-26", SchemeName::Midpoint, [4, 4, 4], [32, 64, 112]),
    ("midpoint-62", SchemeName::Midpoint, [10, 10, 10], [32, 64, 128]),
    ("leapfrog-26", SchemeName::Leapfrog, [4, 4, 4], [32, 64, 112]),
    ("leapfrog-62", SchemeName::Leapfrog, [10, 10, 10], [32, 64, 128]),
];

/// Schemes as model names of their own, for networks of free depth and width.
const FREE: [(&str, SchemeName); 5] = [
    ("hamiltonian", SchemeName::Hamiltonian),
    ("hamiltonian-single", SchemeName::HamiltonianSingle),
    ("midpoint", SchemeName::Midpoint),
    ("leapfrog", SchemeName::Leapfrog),
    ("coupling", SchemeName::Coupling),
];

impl NetworkConfig {
    /// The model called `name`: one of [`NAMED`], or a scheme (`hamiltonian`, `hamiltonian-single`,
    /// `midpoint`, `leapfrog`, `coupling`) with six blocks per unit and widths 32-64-112 to be
    /// changed at will.
    ///
    /// 10 classes, RGB, 32×32, h = 0.1, layout `report`.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names where there is no such model.
    pub fn named(name: &str) -> Result<Self> {
        let named = NAMED.iter().find(|model| model.0 == name).copied();
        let free = FREE
            .iter()
            .find(|model| model.0 == name)
            .map(|&(name, scheme)| (name, scheme, [6, 6, 6], [32, 64, 112]));
        let Some((_, scheme, blocks, widths)) = named.or(free) else {
            let names: Vec<&str> =
                NAMED.iter().map(|m| m.0).chain(FREE.iter().map(|m| m.0)).collect();
            return Err(Error::config(
                "model.name",
                format!("there is no model `{name}`; there are {}", names.join(", ")),
            ));
        };
        Ok(Self {
            model: name.to_owned(),
            layout: Layout::Report,
            scheme,
            residual: scheme.usual_residual(),
            activation: Activation::Relu,
            step: 0.1,
            start: Start::AtRest,
            blocks,
            widths,
            classes: 10,
            channels: 3,
            size: [32, 32],
            stem: StemConfig::default(),
        })
    }

    /// The same in another layout.
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// The same for other images and classes.
    pub fn for_data(mut self, channels: usize, size: [usize; 2], classes: usize) -> Self {
        self.channels = channels;
        self.size = size;
        self.classes = classes;
        self
    }
}
