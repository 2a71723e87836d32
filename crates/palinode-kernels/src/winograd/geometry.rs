//! Where tiles lie in a padded image, and the copies into and out of one.

use pulp::{Simd, WithSimd};

/// Channels are padded to a multiple of this, one AVX-512 vector.
pub(crate) const CHANNEL_BLOCK: usize = 16;

/// Extents of one stream's images and of their padded copies `[row][column][channel]`.
///
/// A padded image has a border of one zero pixel and is rounded up to whole 4×4 tiles; the patch of
/// tile (r, c) is rows 4r…4r+5 and columns 4c…4c+5 of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Channels that are there.
    pub channels: usize,
    /// Channels with padding.
    pub depth: usize,
    pub height: usize,
    pub width: usize,
    pub tile_rows: usize,
    pub tile_columns: usize,
}

impl Geometry {
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self {
            channels,
            depth: channels.next_multiple_of(CHANNEL_BLOCK),
            height,
            width,
            tile_rows: height.div_ceil(4),
            tile_columns: width.div_ceil(4),
        }
    }

    /// Floats from one row of a padded image to the next.
    pub fn row_stride(&self) -> usize {
        (4 * self.tile_columns + 2) * self.depth
    }

    /// Floats of a padded image.
    pub fn image_len(&self) -> usize {
        (4 * self.tile_rows + 2) * self.row_stride()
    }

    /// Tiles of an image.
    pub fn tiles(&self) -> usize {
        self.tile_rows * self.tile_columns
    }

    /// Offset of the patch of tile `tile`, counted over a whole micro-batch.
    pub fn patch(&self, tile: usize) -> usize {
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        let (row, column) = (tile / self.tile_columns, tile % self.tile_columns);
        image * self.image_len() + 4 * row * self.row_stride() + 4 * column * self.depth
    }

    /// Rows and columns of a tile that lie inside the image.
    pub fn inside(&self, tile: usize) -> (usize, usize) {
        let tile = tile % self.tiles();
        let (row, column) = (tile / self.tile_columns, tile % self.tile_columns);
        ((self.height - 4 * row).min(4), (self.width - 4 * column).min(4))
    }

    /// Where pixel `pixel` of an image, counted row by row, begins in a padded image.
    fn inner(&self, pixel: usize) -> usize {
        let (row, column) = (pixel / self.width, pixel % self.width);
        (row + 1) * self.row_stride() + (column + 1) * self.depth
    }

    /// Calls `copy` with every block of up to 16 pixels and channels of an image: its first pixel, its
    /// first channel, and how many of both it has.
    #[inline(always)]
    fn for_each_block(&self, mut copy: impl FnMut(usize, usize, usize, usize)) {
        let area = self.height * self.width;
        for pixel in (0..area).step_by(CHANNEL_BLOCK) {
            for channel in (0..self.channels).step_by(CHANNEL_BLOCK) {
                let pixels = CHANNEL_BLOCK.min(area - pixel);
                copy(pixel, channel, pixels, CHANNEL_BLOCK.min(self.channels - channel));
            }
        }
    }
}

/// Copies images `[n][channel][row][column]` into padded ones, whose padding must be zero already.
pub(crate) struct Load<'a> {
    pub geometry: Geometry,
    pub plain: &'a [f32],
    pub padded: &'a mut [f32],
}

impl WithSimd for Load<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { geometry, plain, padded } = self;
        let area = geometry.height * geometry.width;
        let images = plain.chunks(geometry.channels * area);
        for (plain, padded) in images.zip(padded.chunks_mut(geometry.image_len())) {
            geometry.for_each_block(|pixel, channel, pixels, channels| {
                let mut square = [[0.0; CHANNEL_BLOCK]; CHANNEL_BLOCK];
                for (index, line) in square.iter_mut().take(channels).enumerate() {
                    let from = &plain[(channel + index) * area + pixel..][..pixels];
                    match from.try_into() {
                        Ok(whole) => *line = whole,
                        Err(_) => line[..pixels].copy_from_slice(from),
                    }
                }
                transpose(&mut square);
                for (index, line) in square.iter().take(pixels).enumerate() {
                    let into = &mut padded[geometry.inner(pixel + index) + channel..];
                    into[..CHANNEL_BLOCK].copy_from_slice(line);
                }
            });
        }
    }
}

/// The way back of [`Load`].
pub(crate) struct Store<'a> {
    pub geometry: Geometry,
    pub padded: &'a [f32],
    pub plain: &'a mut [f32],
}

impl WithSimd for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { geometry, padded, plain } = self;
        let area = geometry.height * geometry.width;
        let images = plain.chunks_mut(geometry.channels * area);
        for (plain, padded) in images.zip(padded.chunks(geometry.image_len())) {
            geometry.for_each_block(|pixel, channel, pixels, channels| {
                let mut square = [[0.0; CHANNEL_BLOCK]; CHANNEL_BLOCK];
                for (index, line) in square.iter_mut().take(pixels).enumerate() {
                    let from = &padded[geometry.inner(pixel + index) + channel..];
                    line.copy_from_slice(&from[..CHANNEL_BLOCK]);
                }
                transpose(&mut square);
                for (index, line) in square.iter().take(channels).enumerate() {
                    let into = &mut plain[(channel + index) * area + pixel..][..pixels];
                    match <&mut [f32; CHANNEL_BLOCK]>::try_from(&mut *into) {
                        Ok(whole) => *whole = *line,
                        Err(_) => into.copy_from_slice(&line[..pixels]),
                    }
                }
            });
        }
    }
}

/// Exchanges rows and columns.
#[inline(always)]
fn transpose(square: &mut [[f32; CHANNEL_BLOCK]; CHANNEL_BLOCK]) {
    for row in 0..CHANNEL_BLOCK {
        for column in 0..row {
            let value = square[row][column];
            square[row][column] = square[column][row];
            square[column][row] = value;
        }
    }
}
