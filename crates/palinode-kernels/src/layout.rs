//! Padded images with channels last, and the copies from and to `[n][channel][row][column]`.

use crate::transpose::{EDGE, transpose};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// Channels are padded to a multiple of this number, one AVX-512 vector.
pub(crate) const CHANNEL_BLOCK: usize = EDGE;

/// Where the pixels of padded images `[n][row][column][channel]` lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Channels of the image.
    pub channels: usize,
    /// Channels with padding, a multiple of 16: floats from pixel to pixel.
    pub depth: usize,
    pub height: usize,
    pub width: usize,
    /// Floats from row to row.
    pub row: usize,
    /// Floats before an image's first pixel.
    pub origin: usize,
    /// Floats from image to image.
    pub image: usize,
}

impl Layout {
    /// Floats of an image without padding.
    pub fn plain_image(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Calls `copy` with every block of up to 16 pixels and channels of an image: the block's first
    /// pixel, where its pixels begin, its first channel, and the number of its channels.
    #[inline(always)]
    fn for_each_block(&self, mut copy: impl FnMut(usize, &[usize], usize, usize)) {
        let area = self.height * self.width;
        let (mut row, mut column) = (self.origin, 0);
        for pixel in (0..area).step_by(CHANNEL_BLOCK) {
            let pixels = CHANNEL_BLOCK.min(area - pixel);
            let mut places = [0; CHANNEL_BLOCK];
            for place in &mut places[..pixels] {
                *place = row + column * self.depth;
                column += 1;
                if column == self.width {
                    (row, column) = (row + self.row, 0);
                }
            }
            for channel in (0..self.channels).step_by(CHANNEL_BLOCK) {
                let channels = CHANNEL_BLOCK.min(self.channels - channel);
                copy(pixel, &places[..pixels], channel, channels);
            }
        }
    }
}

/// Copies images `[n][channel][row][column]` into padded ones. The padding of the last block of
/// channels becomes zero; all other padding stays as it is.
pub(crate) struct Load<'a> {
    pub layout: Layout,
    /// Begins with the first image's first channel.
    pub plain: &'a [f32],
    /// Floats from one plain image to the next.
    pub stride: usize,
    pub padded: &'a mut [f32],
}

impl WithSimd for Load<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layout, plain, stride, padded } = self;
        let area = layout.height * layout.width;
        for (plain, padded) in plain.chunks(stride).zip(padded.chunks_mut(layout.image)) {
            layout.for_each_block(|pixel, places, channel, channels| {
                let mut square = [[0.0; CHANNEL_BLOCK]; CHANNEL_BLOCK];
                for (index, line) in square.iter_mut().take(channels).enumerate() {
                    let from = &plain[(channel + index) * area + pixel..][..places.len()];
                    match from.try_into() {
                        Ok(whole) => *line = whole,
                        Err(_) => line[..places.len()].copy_from_slice(from),
                    }
                }
                transpose(simd, &mut square);
                for (line, place) in square.iter().zip(places) {
                    let into = &mut padded[place + channel..];
                    into[..CHANNEL_BLOCK].copy_from_slice(line);
                }
            });
        }
    }
}

/// A place for a number: one that is overwritten, or memory that has not been initialised.
pub(crate) trait Slot: Send {
    fn set(&mut self, value: f32);
}

impl Slot for f32 {
    #[inline(always)]
    fn set(&mut self, value: f32) {
        *self = value;
    }
}

impl Slot for MaybeUninit<f32> {
    #[inline(always)]
    fn set(&mut self, value: f32) {
        self.write(value);
    }
}

/// Copies padded images into plain ones `[n][channel][row][column]`: sets all channels of all their
/// pixels.
pub(crate) struct Store<'a, T> {
    pub layout: Layout,
    pub padded: &'a [f32],
    /// Begins with the first image's first channel.
    pub plain: &'a mut [T],
    /// Floats from one plain image to the next.
    pub stride: usize,
}

impl<T: Slot> WithSimd for Store<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layout, padded, plain, stride } = self;
        let area = layout.height * layout.width;
        for (plain, padded) in plain.chunks_mut(stride).zip(padded.chunks(layout.image)) {
            layout.for_each_block(|pixel, places, channel, channels| {
                let mut square = [[0.0; CHANNEL_BLOCK]; CHANNEL_BLOCK];
                for (line, place) in square.iter_mut().zip(places) {
                    let from = &padded[place + channel..];
                    line.copy_from_slice(&from[..CHANNEL_BLOCK]);
                }
                transpose(simd, &mut square);
                for (index, line) in square.iter().take(channels).enumerate() {
                    let into = &mut plain[(channel + index) * area + pixel..][..places.len()];
                    // (The loop over a whole line becomes one vector.)
                    match <&mut [T; CHANNEL_BLOCK]>::try_from(&mut *into) {
                        Ok(whole) => set(whole, line),
                        Err(_) => set(into, line),
                    }
                }
            });
        }
    }
}

#[inline(always)]
fn set<T: Slot>(into: &mut [T], line: &[f32; CHANNEL_BLOCK]) {
    into.iter_mut().zip(line).for_each(|(into, value)| into.set(*value));
}

/// A vector of `len` numbers that `write` sets. (Zeros would cost a pass over the memory by one thread.)
///
/// # Safety
/// `write` must set every number, unless it returns an error.
pub(crate) unsafe fn written<E>(
    len: usize,
    write: impl FnOnce(&mut [MaybeUninit<f32>]) -> Result<(), E>,
) -> Result<Vec<f32>, E> {
    let mut numbers = Vec::with_capacity(len);
    write(&mut numbers.spare_capacity_mut()[..len])?;
    // SAFETY: the capacity is at least `len`, and the caller vouches that `write` has set them all.
    unsafe { numbers.set_len(len) };
    Ok(numbers)
}
