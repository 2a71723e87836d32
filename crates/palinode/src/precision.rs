//! The type of numbers that residuals are evaluated in.

use crate::error::{Error, Result};
use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The type of numbers that the residuals of a network are evaluated in.
///
/// State, sums into it, norms, weights and gradients stay in f32: a half type holds a copy of x and of the weights,
/// and what F computes from them. The second evaluation of F in a backward pass is the same as the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberType {
    /// 32 bits; no conversion.
    #[default]
    F32,
    /// 16 bits with the range of f32 and 8 bits of precision.
    Bf16,
    /// 16 bits with 11 bits of precision and numbers from 6e-8 to 65,504.
    F16,
}

impl FromStr for NumberType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|own| own.name() == name);
        let names = Self::ALL.map(Self::name);
        found.ok_or_else(|| Error::unknown("training.precision", "type", name, names))
    }
}

impl NumberType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// Its name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// The half type; `None` for f32.
    pub fn half(self) -> Option<DType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }

    /// Checks that `device` computes in this type. (Burn computes garbage where it does not.)
    ///
    /// # Errors
    /// [`Error::Config`] naming the types that it has.
    pub fn check_on(self, device: &Device) -> Result<()> {
        let device = device.clone().inner();
        // The CPU stores the half types, but computes with them in f32, more slowly than with f32 itself.
        let has = |own: Self| match own.half() {
            Some(half) => device != Device::flex() && device.supports_dtype(half),
            None => true,
        };
        if has(self) {
            return Ok(());
        }
        let types: Vec<&str> =
            Self::ALL.into_iter().filter(|&own| has(own)).map(Self::name).collect();
        let reason = format!(
            "the device does not compute in {}; it has {} (`palinode doctor` lists all devices)",
            self.name(),
            types.join(", ")
        );
        Err(Error::config("training.precision", reason))
    }
}
