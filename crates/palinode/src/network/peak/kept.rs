//! What a training step keeps between the forward and the backward pass.

use super::{MemoryModel, segments};
use crate::network::config::Layout;
use crate::residual::BuiltInConfig;
use crate::reversible::Differentiation;
use crate::scheme::Streams;

impl MemoryModel {
    /// What the stem keeps beside the images: the argument of its norm or its activation.
    pub(super) fn stem_kept(&self, batch: usize) -> f64 {
        let stem = self.config.stem;
        let kept = match self.config.layout {
            Layout::Paper => true,
            Layout::Report => stem.norm || stem.activation.get().is_some(),
        };
        if kept { self.stem_map(batch) } else { 0.0 }
    }

    /// What the head keeps: the argument of its pool, and in layout `paper` that of its norm. One of them is the last
    /// state of a unit in mode `reversible`, which that unit keeps.
    pub(super) fn head_kept(&self, modes: &[Differentiation], batch: usize) -> f64 {
        let Some(last) = modes.len().checked_sub(1) else { return 0.0 };
        let maps = match self.config.layout {
            Layout::Paper => 2.0,
            Layout::Report => 1.0,
        };
        let shared = if self.keeps_its_output(last, modes) { 1.0 } else { 0.0 };
        (maps - shared) * self.map(last, batch)
    }

    /// What a unit keeps, its entry included.
    pub(super) fn kept(&self, unit: usize, modes: &[Differentiation], batch: usize) -> f64 {
        let blocks = self.blocks_kept(unit, modes[unit], batch);
        if !self.config.has_entry(unit) {
            return blocks;
        }
        // The entry keeps its input, too, unless the unit before it does.
        let shared = unit.checked_sub(1).is_some_and(|unit| self.keeps_its_output(unit, modes));
        let input = if shared { 0.0 } else { self.before(unit, batch) };
        blocks + input + self.entry_kept(unit, batch)
    }

    /// Whether a unit keeps its last state, which is its output.
    fn keeps_its_output(&self, unit: usize, modes: &[Differentiation]) -> bool {
        modes[unit] == Differentiation::Reversible && self.blocks(unit) > 0
    }

    /// What the blocks of a unit keep, without its entry.
    pub(super) fn blocks_kept(&self, unit: usize, mode: Differentiation, batch: usize) -> f64 {
        let blocks = self.blocks(unit);
        if blocks == 0 {
            return 0.0;
        }
        match mode {
            Differentiation::Reversible => self.state(unit, batch),
            Differentiation::Checkpointed => {
                segments(blocks).len() as f64 * self.state(unit, batch)
            }
            Differentiation::Stored => {
                let evaluations = blocks as f64 * self.config.evaluations_per_block() as f64;
                // The first block's Z is a view of the input and keeps all of it.
                let view = match self.config.streams() {
                    Streams::Two => self.map(unit, batch) / 2.0,
                    Streams::One => 0.0,
                };
                evaluations * self.arrays_kept(unit) * self.array(unit, batch) + view
            }
        }
    }

    /// Arrays that autodiff keeps of one evaluation of a residual.
    fn arrays_kept(&self, unit: usize) -> f64 {
        match self.config.residual {
            // x, Kx + b and σ(Kx + b); the last one for the gradient of Kᵀ.
            BuiltInConfig::Symmetric | BuiltInConfig::Parabolic | BuiltInConfig::Inception => 3.0,
            // x and Kx + b.
            BuiltInConfig::Layer
            | BuiltInConfig::Antisymmetric
            | BuiltInConfig::AntisymmetricInception => 2.0,
            // The arguments of two norms and of two convolutions.
            BuiltInConfig::Basic => 4.0,
            // Those of three norms and three convolutions; four of them have the channels of the bottleneck.
            BuiltInConfig::Aggregated => 2.0 + 4.0 * self.bottleneck_ratio(unit),
        }
    }

    /// What the entry of a unit keeps beside its input.
    fn entry_kept(&self, unit: usize, batch: usize) -> f64 {
        let (input, map) = (self.before(unit, batch), self.map(unit, batch));
        if self.config.residual != BuiltInConfig::Aggregated {
            return input + 2.0 * map;
        }
        // The stride is that of the second convolution.
        let inner = map * self.bottleneck_ratio(unit);
        let area = if unit == 0 { 1.0 } else { 4.0 };
        input + 2.0 * area * inner + 2.0 * inner
    }
}
