//! How much memory a network needs, before it is built.

use super::config::NetworkConfig;
use super::modes::Modes;
use crate::error::Result;
use crate::reversible::{Differentiation, segment_length};
use crate::scheme::Streams;

/// Named amounts of memory in bytes, for [`check_available`](crate::memory::check_available).
pub type Parts = Vec<(&'static str, u64)>;

impl NetworkConfig {
    /// The least that a training step on `batch` images needs in `modes`: weights and gradients, for
    /// `parameters` parameters, the images, and the activations. Residuals with norms or of your own, and
    /// the working memory, need more.
    ///
    /// Source of the formulas: `docs/memory.md`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where there are not as many modes as units.
    pub fn step_bytes(&self, parameters: usize, modes: &Modes, batch: usize) -> Result<Parts> {
        let modes = modes.of_units(self.blocks.len())?;
        let blocks = self.blocks_per_unit().into_iter().zip(modes).enumerate();
        let of_unit = |(unit, (blocks, mode)): (usize, (usize, Differentiation))| {
            let segments = blocks.div_ceil(segment_length(blocks)) as u64;
            let blocks = blocks as u64;
            match mode {
                // x, and what σ needs.
                Differentiation::Stored => {
                    self.map_bytes(unit, batch).saturating_mul(2_u64.saturating_mul(blocks))
                }
                Differentiation::Checkpointed => {
                    self.state_bytes(unit, batch).saturating_mul(segments)
                }
                Differentiation::Reversible => self.state_bytes(unit, batch),
            }
        };
        let activations = blocks.map(of_unit).fold(0_u64, u64::saturating_add);
        let numbers = 4_u64.saturating_mul(parameters as u64);
        Ok(vec![
            ("weights", numbers),
            ("gradients", numbers),
            ("images", self.image_bytes(batch)),
            ("activations", activations),
        ])
    }

    /// The least that the network's answer to `batch` images needs: the images, and the largest map before
    /// and after a block.
    pub fn forward_bytes(&self, batch: usize) -> Parts {
        let maps = (0..self.widths.len()).map(|unit| self.map_bytes(unit, batch));
        let largest = maps.max().unwrap_or(0).saturating_mul(2);
        vec![("images", self.image_bytes(batch)), ("the largest maps", largest)]
    }

    /// Bytes of `batch` images in f32.
    pub(super) fn image_bytes(&self, batch: usize) -> u64 {
        let [rows, columns] = self.size;
        bytes_of([batch, self.channels, rows, columns])
    }

    /// Bytes of the state between two blocks of unit `unit`: of one map, or of two, since schemes with one state keep the
    /// state before it as well.
    pub(super) fn state_bytes(&self, unit: usize, batch: usize) -> u64 {
        let maps = if self.streams() == Streams::Two { 1 } else { 2 };
        self.map_bytes(unit, batch).saturating_mul(maps)
    }

    /// Bytes of the map of all channels in unit `unit`.
    pub(super) fn map_bytes(&self, unit: usize, batch: usize) -> u64 {
        let [rows, columns] = self.map_of(unit);
        bytes_of([batch, self.width(unit), rows, columns])
    }
}

/// Bytes of an f32 array of this shape; the largest number where there is none for it.
fn bytes_of(shape: [usize; 4]) -> u64 {
    shape.iter().fold(4, |product: u64, &extent| product.saturating_mul(extent as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_those_of_the_formulas() {
        let config = NetworkConfig::named("hamiltonian-74").unwrap().for_data(3, [32, 32], 10);
        let config = config.with_units([6, 6, 6], [32, 64, 128]);
        let parts = |mode: Differentiation| config.step_bytes(1000, &mode.into(), 16).unwrap();
        // 4 bytes · 16 images · channels · pixels: each unit has half of what the one before it has.
        let first = 4 * 16 * 32 * 32 * 32_u64;
        let all = first + first / 2 + first / 4;
        assert_eq!(
            parts(Differentiation::Reversible),
            [
                ("weights", 4000),
                ("gradients", 4000),
                ("images", 4 * 16 * 3 * 1024),
                ("activations", all)
            ]
        );
        assert_eq!(parts(Differentiation::Checkpointed)[3].1, 2 * all, "segments of three");
        assert_eq!(parts(Differentiation::Stored)[3].1, 12 * all);
        assert_eq!(config.forward_bytes(16)[1].1, 2 * first);
        let huge =
            config.step_bytes(usize::MAX, &Differentiation::Stored.into(), usize::MAX).unwrap();
        assert!(huge.iter().all(|part| part.1 > 1 << 62), "{huge:?}");
    }
}
