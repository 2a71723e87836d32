//! The names of instruction sets.

use crate::error::Error;
use crate::precision::Precision;
use std::fmt;
use std::str::FromStr;

/// An instruction set.
///
/// Results depend on it in their last bits, and on nothing else of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Isa {
    /// AVX-512 (F, BW, CD, DQ, VL), 16 numbers at a time, with AMX for products of factors in
    /// [bf16](Precision::Bf16). All other results have the bits of [`Avx512`](Self::Avx512).
    Amx,
    /// AVX-512 (F, BW, CD, DQ, VL), 16 numbers at a time.
    Avx512,
    /// AVX2 with FMA, 8 numbers at a time.
    Avx2,
    /// NEON, 4 numbers at a time. (It compiles from the same source as the others, but has not been run
    /// on a machine yet.)
    Neon,
    /// One number at a time, on any machine.
    Portable,
}

impl Isa {
    /// Every instruction set, the fastest first.
    pub const ALL: [Self; 5] = [Self::Amx, Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// The instruction set that a file should name for results with gradients of this precision, so
    /// that every machine that gives the same bits can go on from them: [`Avx512`](Self::Avx512) for
    /// [`Amx`](Self::Amx) in f32, where AMX computes nothing.
    pub fn for_gradients(self, gradients: Precision) -> Self {
        match (self, gradients) {
            (Self::Amx, Precision::F32) => Self::Avx512,
            _ => self,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| Error::Name {
            kind: "instruction set",
            found: name.to_owned(),
            expected: Self::ALL.map(Self::name).to_vec(),
        })
    }
}
