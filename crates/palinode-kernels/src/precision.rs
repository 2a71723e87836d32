//! How the factors of the products for gradients are rounded.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// What the factors of the matrix products for gradients are rounded to.
///
/// A backward pass by a Winograd algorithm takes six products for a [symmetric](crate::Form) residual
/// and three for the others. Two of the six (one of the three) recompute the state and are always in
/// f32, so that the reversal is as exact as ever. The factors of the other products may be rounded to
/// bf16; their sums are still f32. Direct sums are computed in f32 only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Precision {
    /// They are not rounded.
    #[default]
    F32,
    /// bf16, with 8 significant binary digits. It is faster where the processor takes two products of
    /// bf16 in the time of one of f32, as AMD's Zen 4 does, or has [AMX](crate::Isa::Amx). (Other Intel
    /// processors are slower with it.)
    Bf16,
}

impl Precision {
    /// Both, the more exact one first.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            Error::Name {
                kind: "precision",
                found: name.to_owned(),
                expected: Self::ALL.map(Self::name).to_vec(),
            }
        })
    }
}
