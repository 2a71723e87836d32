//! Where tiles lie in a padded image.

use crate::layout::{CHANNEL_BLOCK, Layout};

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

    /// Where the pixels lie.
    pub fn layout(&self) -> Layout {
        Layout {
            channels: self.channels,
            depth: self.depth,
            height: self.height,
            width: self.width,
            row: self.row_stride(),
            origin: self.row_stride() + self.depth,
            image: self.image_len(),
        }
    }
}
