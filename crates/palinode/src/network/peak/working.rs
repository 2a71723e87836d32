//! What the backward pass of one unit needs beside what is kept.

use super::{MemoryModel, segments};
use crate::error::Result;
use crate::residual::BuiltInConfig;
use crate::reversible::Differentiation;
use crate::scheme::Streams;
use palinode_kernels::Algorithm;
use palinode_kernels::convolution::ConvolutionKernel;

impl MemoryModel {
    /// What the backward pass of a unit needs beside what is kept.
    pub(super) fn working(&self, unit: usize, mode: Differentiation, batch: usize) -> Result<f64> {
        if self.blocks(unit) == 0 {
            return Ok(0.0);
        }
        let state = self.state(unit, batch);
        if mode == Differentiation::Reversible
            && let Some(scratch) = self.scratch_of_unit(unit, batch)?
        {
            return Ok(state + scratch);
        }
        let (array, scratch) = (self.array(unit, batch), self.scratch(unit, batch)?);
        let one_by_one = self.arrays_working(unit) * array + scratch;
        Ok(match mode {
            Differentiation::Stored => 4.0 * array + scratch,
            Differentiation::Reversible => state + one_by_one,
            Differentiation::Checkpointed => {
                // Of the last segment all states exist, of those before it one each.
                let segments = segments(self.blocks(unit));
                let alive = segments.iter().enumerate().map(|(index, length)| index + 1 + length);
                let more = alive.max().unwrap_or(0).saturating_sub(segments.len());
                more as f64 * state + one_by_one
            }
        })
    }

    /// What the kernels of a whole unit take, on all threads; `None` if the unit is computed block by block.
    pub(super) fn scratch_of_unit(&self, unit: usize, batch: usize) -> Result<Option<f64>> {
        let [rows, columns] = self.config.map_of(unit);
        let input = [batch, self.config.width(unit), rows, columns];
        let Some(sample) = &self.sample else { return Ok(None) };
        Ok(sample.units[unit].scratch_bytes(input)?.map(|bytes| bytes as f64))
    }

    /// Arrays of a residual that are alive while a block is differentiated by itself: cotangents, what autodiff keeps of
    /// the residual, and the results. Measured, see `docs/memory.md`.
    fn arrays_working(&self, unit: usize) -> f64 {
        match (self.config.residual, self.config.streams()) {
            (BuiltInConfig::Symmetric | BuiltInConfig::Parabolic, Streams::Two) => 8.0,
            (BuiltInConfig::Symmetric | BuiltInConfig::Parabolic, Streams::One) => 6.0,
            (BuiltInConfig::Layer, _) => 7.0,
            (BuiltInConfig::Antisymmetric, _) => 5.5,
            (BuiltInConfig::Inception, Streams::Two) => 6.0,
            (BuiltInConfig::Inception, Streams::One) => 3.5,
            (BuiltInConfig::AntisymmetricInception, _) => 5.0,
            (BuiltInConfig::Basic, Streams::Two) => 10.0,
            (BuiltInConfig::Basic, Streams::One) => 7.5,
            (BuiltInConfig::Aggregated, _) => 5.0 + 4.0 * self.bottleneck_ratio(unit),
        }
    }

    /// What the kernels of the convolutions take in a unit that is computed block by block: the largest of them.
    fn scratch(&self, unit: usize, batch: usize) -> Result<f64> {
        let (config, channels) = (&self.config, self.config.residual_channels(unit));
        let size = config.map_of(unit);
        // Residuals that may have to repeat themselves to the bit are not computed by the quick algorithms.
        let algorithm = match config.residual.is_baseline() {
            true => Algorithm::quickest(size),
            false => Algorithm::Direct,
        };
        let of = |inputs, outputs, extent, groups| {
            let kernel = ConvolutionKernel {
                images: batch,
                inputs,
                outputs,
                size,
                kernel: [extent; 2],
                stride: [1, 1],
                padding: [extent / 2; 2],
                groups,
                algorithm,
            };
            kernel.scratch_bytes(&self.context)
        };
        let bytes = match config.residual {
            BuiltInConfig::Inception | BuiltInConfig::AntisymmetricInception => {
                of(channels / 4, channels / 4, 5, 1)?
            }
            BuiltInConfig::Aggregated => {
                let inner = config.bottleneck_of(unit);
                of(channels, inner, 1, 1)?.max(of(inner, inner, 3, config.groups)?)
            }
            BuiltInConfig::Symmetric
            | BuiltInConfig::Parabolic
            | BuiltInConfig::Layer
            | BuiltInConfig::Antisymmetric
            | BuiltInConfig::Basic => of(channels, channels, 3, 1)?,
        };
        Ok(bytes as f64)
    }
}
