//! Which images a batch norm looks at.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// Which images the statistics of a batch norm are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum NormStatistics {
    /// All images of a batch. Ranks that share it exchange messages in every norm.
    #[default]
    Batch,
    /// The images of a [micro-batch](crate::Microbatches): each has its own mean and variance. A batch that the context does
    /// not divide is one micro-batch. Ranks exchange no message in a norm; the running statistics of all norms travel in one
    /// at the end of a step.
    Microbatch,
}

impl NormStatistics {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Batch, Self::Microbatch];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Microbatch => "microbatch",
        }
    }
}

impl fmt::Display for NormStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NormStatistics {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|own| own.name() == name).ok_or_else(|| Error::Name {
            kind: "norm statistics",
            found: name.to_owned(),
            expected: Self::ALL.map(Self::name).to_vec(),
        })
    }
}
