//! How the factors of the products for gradients are rounded.

use std::fmt;
use std::str::FromStr;

/// What the factors of the products for gradients are rounded to.
///
/// A backward pass by Winograd's algorithm takes six products for a [symmetric](crate::Form) residual,
/// three for the others. Two (one) of them recompute the state and are f32's always, so that a reversal
/// is as exact as ever; the others may be of factors rounded to bf16, whose sums are still f32's. Direct
/// sums are f32's throughout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// Eight binary places: faster where the machine takes two such products in the time of one of f32's, as
    /// AMD's Zen 4 does, or has [AMX](crate::isa::Isa::Amx). (Intel's other processors are slower with it.)
    Bf16,
}

impl Precision {
    /// Both, the more exact first.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Whether the kernels can compute so: bf16 needs AVX-512 with its bf16 products, both on the machine
    /// and as the [current instruction set](crate::isa::Isa::current).
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn check(self) -> Result<(), String> {
        match self {
            Self::F32 => Ok(()),
            Self::Bf16 if crate::winograd::has_bf16() => Ok(()),
            Self::Bf16 => {
                let isa = crate::isa::Isa::current();
                Err(format!(
                    "gradients in bf16 need AVX-512 with bf16 products (avx512_bf16), which {isa} on this \
                     machine does not have; use f32"
                ))
            }
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown precision `{name}`; expected one of {names}")
        })
    }
}
