//! A few channels of one image, as planes with zeros around them.

use super::shape::InceptionKernel;
use crate::activation::{self, Activation};
use crate::register::{first, set_first};
use crate::scratch::Arena;
use pulp::Simd;

/// Zeros on each side: half of the largest kernel.
pub(super) const BORDER: usize = 2;

/// Floats of the longest vector.
pub(super) const LONGEST: usize = 16;

/// Channels whose results are in registers at a time.
pub(super) const ROWS: usize = 4;

/// Planes `[channels][height + 2·BORDER][stride]`.
///
/// A row has BORDER zeros before its pixels and zeros behind them, up to the stride. So a vector that begins
/// at any pixel, moved by any tap of a kernel, stays inside, and reads zeros where there is no pixel. The
/// channels are padded to a multiple of [`ROWS`].
pub(super) struct Planes<'m> {
    pub group: usize,
    pub size: [usize; 2],
    /// Floats from row to row.
    pub stride: usize,
    pub values: &'m mut [f32],
}

impl<'m> Planes<'m> {
    /// Planes of zeros, for one group of a map's channels.
    pub fn zeros(
        arena: &mut Arena<'m>,
        &InceptionKernel { group, size, .. }: &InceptionKernel,
    ) -> Self {
        let stride = size[1].next_multiple_of(LONGEST) + 2 * BORDER;
        let plane = (size[0] + 2 * BORDER) * stride;
        let values = arena.zeros(group.next_multiple_of(ROWS) * plane);
        Self { group, size, stride, values }
    }

    /// Whether both have the same shape.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.group, self.size) == (other.group, other.size)
    }

    /// Where row `row` of channel `channel` begins.
    pub fn row(&self, channel: usize, row: usize) -> usize {
        let plane = (self.size[0] + 2 * BORDER) * self.stride;
        channel * plane + (row + BORDER) * self.stride + BORDER
    }

    /// Copies the pixels `[g, height, width]` of an image's channels.
    pub fn read(&mut self, pixels: &[f32]) {
        let [height, width] = self.size;
        for (line, row) in pixels.chunks(width.max(1)).enumerate() {
            let start = self.row(line / height, line % height);
            self.values[start..start + width].copy_from_slice(row);
        }
    }

    /// Copies the pixels back.
    pub fn write(&self, pixels: &mut [f32]) {
        let [height, width] = self.size;
        for (line, row) in pixels.chunks_mut(width.max(1)).enumerate() {
            let start = self.row(line / height, line % height);
            row.copy_from_slice(&self.values[start..start + width]);
        }
    }

    /// σ of every pixel, in its place.
    #[inline(always)]
    pub fn activate<S: Simd>(&mut self, simd: S, activation: Activation) {
        for channel in 0..self.group {
            for row in 0..self.size[0] {
                let start = self.row(channel, row);
                for column in (0..self.size[1]).step_by(S::F32_LANES) {
                    let pixels = &mut self.values[start + column..][..S::F32_LANES];
                    let pre = first::<S>(pixels);
                    set_first::<S>(pixels, activation::apply(simd, activation, pre));
                }
            }
        }
        self.clear_behind();
    }

    /// σ of every pixel in its place, and in the place of the cotangent v, σ′(pixel)·v.
    ///
    /// # Panics
    /// If shapes differ.
    #[inline(always)]
    pub fn activate_with_vjp<S: Simd>(
        &mut self,
        simd: S,
        activation: Activation,
        cotangent: &mut Self,
    ) {
        assert!(self.is_like(cotangent));
        for channel in 0..self.group {
            for row in 0..self.size[0] {
                let start = self.row(channel, row);
                for column in (0..self.size[1]).step_by(S::F32_LANES) {
                    let pixels = &mut self.values[start + column..][..S::F32_LANES];
                    let v = &mut cotangent.values[start + column..][..S::F32_LANES];
                    let pre = first::<S>(pixels);
                    set_first::<S>(v, activation::vjp(simd, activation, pre, first::<S>(v)));
                    set_first::<S>(pixels, activation::apply(simd, activation, pre));
                }
            }
        }
        self.clear_behind();
        cotangent.clear_behind();
    }

    /// Adds the sum of each channel to `sums`. (In f64, because these sums may cancel.)
    pub fn add_sums(&self, sums: &mut [f64]) {
        let [height, width] = self.size;
        for (channel, sum) in sums.iter_mut().enumerate().take(self.group) {
            let rows = (0..height).map(|row| {
                let start = self.row(channel, row);
                self.values[start..start + width].iter().map(|&x| f64::from(x)).sum::<f64>()
            });
            *sum += rows.sum::<f64>();
        }
    }

    /// Sets the zeros behind the rows again, where whole vectors have been written.
    pub fn clear_behind(&mut self) {
        let [height, width] = self.size;
        let end = width.next_multiple_of(LONGEST);
        for channel in 0..self.group {
            for row in 0..height {
                let start = self.row(channel, row);
                self.values[start + width..start + end].fill(0.0);
            }
        }
    }
}
