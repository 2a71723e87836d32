//! The report's variants of a network.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A variant of a model, as in the report's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The model without changes.
    #[default]
    Plain,
    /// Batch norm after the stem convolution and dropout 0.4 before the fully connected layer.
    Regularized,
    /// Batch norm after the stem convolution and the scheme's inception residual.
    Inception,
    /// [`Inception`](Self::Inception) with 18 blocks per unit and widths 64-128-256: about as many
    /// parameters as hamiltonian-218.
    InceptionLarge,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 4] =
        [Self::Plain, Self::Regularized, Self::Inception, Self::InceptionLarge];

    /// The variant's name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Regularized => "regularized",
            Self::Inception => "inception",
            Self::InceptionLarge => "inception-large",
        }
    }

    /// The variant called `name`.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names if there is no such variant.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name).ok_or_else(|| {
            Error::unknown("model.variant", "variant", name, Self::ALL.map(Self::name))
        })
    }
}
