//! How the convolutions of a unit are computed.

use crate::error::Error;
use std::fmt;
use std::str::FromStr;

/// How the 3×3 convolutions of a unit are computed; all of them in f32.
///
/// The table gives the multiplications per pixel, input channel and output channel, and bounds for the errors of
/// a residual's value F and of its gradients, relative to the largest value. The bounds hold at the widths and
/// initial weights of the report's networks, and are tested against the f64 reference. (F(2×2) is the most
/// accurate, because its sums are shorter than sums over nine taps.)
///
/// | | multiplications | F | dK, db, dx |
/// |---|---|---|---|
/// | `winograd-4x4` | 2.25 | 2e-6 | 3e-6 |
/// | `winograd-2x2` | 4 | 5e-7 | 1e-6 |
/// | `direct` | 9 | 1e-6 | 1e-6 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Algorithm {
    /// Winograd F(4×4, 3×3).
    #[cfg_attr(feature = "serde", serde(rename = "winograd-4x4"))]
    Winograd4,
    /// Winograd F(2×2, 3×3).
    #[cfg_attr(feature = "serde", serde(rename = "winograd-2x2"))]
    Winograd2,
    /// Sums over the nine taps.
    #[cfg_attr(feature = "serde", serde(rename = "direct"))]
    Direct,
}

impl Algorithm {
    /// Every algorithm, in the order of their multiplications.
    pub const ALL: [Self; 3] = [Self::Winograd4, Self::Winograd2, Self::Direct];

    /// The fastest algorithm for images of `[height, width]` pixels: the Winograd algorithm that has less work to
    /// do in whole tiles.
    ///
    /// It was measured over a forward and a backward pass with 3, 16, 32 and 64 channels and images of 1×1 to
    /// 14×14 pixels. A multiplication of F(2×2) takes 4/5 of the time of one of F(4×4), which has larger
    /// transforms. F(2×2) is faster at 1, 2, 5, 6, 9 and 10 pixels and F(4×4) at all others. Direct sums are never
    /// the fastest: they take 1.5 to 3 times as long.
    pub fn quickest([height, width]: [usize; 2]) -> Self {
        let work = |algorithm: Self, weight: usize| {
            let tile = algorithm.tile();
            weight * height.div_ceil(tile) * width.div_ceil(tile) * (tile + 2).pow(2)
        };
        if work(Self::Winograd2, 4) < work(Self::Winograd4, 5) {
            Self::Winograd2
        } else {
            Self::Winograd4
        }
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Winograd4 => "winograd-4x4",
            Self::Winograd2 => "winograd-2x2",
            Self::Direct => "direct",
        }
    }

    /// Rows and columns of the tiles that the algorithm computes.
    pub(crate) fn tile(self) -> usize {
        match self {
            Self::Winograd4 => 4,
            Self::Winograd2 => 2,
            Self::Direct => 1,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
            Error::Name {
                kind: "algorithm",
                found: name.to_owned(),
                expected: Self::ALL.map(Self::name).to_vec(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_is_the_measured_one() {
        for (size, quickest) in [
            (1, Algorithm::Winograd2),
            (2, Algorithm::Winograd2),
            (3, Algorithm::Winograd4),
            (4, Algorithm::Winograd4),
            (6, Algorithm::Winograd2),
            (7, Algorithm::Winograd4),
            (8, Algorithm::Winograd4),
            (14, Algorithm::Winograd4),
            (28, Algorithm::Winograd4),
            (32, Algorithm::Winograd4),
            (96, Algorithm::Winograd4),
        ] {
            assert_eq!(Algorithm::quickest([size; 2]), quickest, "{size}×{size}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        let message = "fft".parse::<Algorithm>().unwrap_err().to_string();
        assert!(message.contains("winograd-4x4, winograd-2x2, direct"), "{message}");
    }
}
