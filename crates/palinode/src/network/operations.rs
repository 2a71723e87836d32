//! Layers and operations of a network, counted from its configuration.

use super::config::NetworkConfig;
use crate::residual::BuiltInConfig;
use crate::scheme::{Streams, Update};

impl NetworkConfig {
    /// The number of layers as in the models' names: the convolutions of all blocks, stem and head.
    pub fn layers(&self) -> usize {
        let per_residual = match self.residual {
            BuiltInConfig::Symmetric | BuiltInConfig::Parabolic | BuiltInConfig::Basic => 2,
            // The paper counts K and Kᵀ of the midpoint network separately.
            BuiltInConfig::Antisymmetric => 2,
            BuiltInConfig::Layer => 1,
            BuiltInConfig::Aggregated => 3,
            // The longest path through A and Aᵀ.
            BuiltInConfig::Inception | BuiltInConfig::AntisymmetricInception => 4,
        };
        let evaluations = match self.streams() {
            Streams::Two => 2,
            Streams::One => 1,
        };
        self.blocks.iter().sum::<usize>() * evaluations * per_residual + 2
    }

    /// The number of multiplications and additions of a forward pass on one image: 2 per term of every
    /// convolution (computed by direct sums) and of the fully connected layer. A backward pass takes
    /// twice as many, or three times as many if it evaluates the units again.
    pub fn forward_operations(&self) -> usize {
        let [rows, columns] = self.size;
        let per_block = self.evaluations_per_block();
        let mut terms = rows * columns * 9 * self.channels * self.stem_channels();
        for (unit, blocks) in self.blocks_per_unit().into_iter().enumerate() {
            let [rows, columns] = self.map_of(unit);
            terms += blocks * per_block * rows * columns * self.terms_per_pixel(unit);
        }
        2 * (terms + self.features() * self.classes)
    }

    /// Evaluations of residuals in a block.
    pub(super) fn evaluations_per_block(&self) -> usize {
        self.stepped().updates(0).iter().map(Update::evaluations).sum()
    }

    /// Terms of a residual's convolutions for one pixel of unit `unit`. Residuals of entries have fewer
    /// inputs but are counted like the others.
    fn terms_per_pixel(&self, unit: usize) -> usize {
        let channels = self.residual_channels(unit);
        let square = channels * channels;
        match self.residual {
            BuiltInConfig::Symmetric | BuiltInConfig::Parabolic | BuiltInConfig::Basic => {
                18 * square
            }
            BuiltInConfig::Antisymmetric | BuiltInConfig::Layer => 9 * square,
            // A and Aᵀ each have 1 + (1 + 9) + (1 + 25) taps, on a quarter of the channels.
            BuiltInConfig::Inception | BuiltInConfig::AntisymmetricInception => {
                2 * 37 * (channels / 4).pow(2)
            }
            BuiltInConfig::Aggregated => {
                let d = self.bottleneck_of(unit);
                2 * channels * d + 9 * d * d / self.groups.max(1)
            }
        }
    }
}
