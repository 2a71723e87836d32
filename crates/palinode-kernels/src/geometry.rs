//! Where tiles lie in a padded image.

use crate::layout::{CHANNEL_BLOCK, Layout};
use std::ops::Range;

/// Extents of images and of their padded copies `[row][column][channel]`.
///
/// A padded image has a border of one zero pixel and is rounded up to whole m×m tiles. The patch of
/// tile (r, c) consists of its rows mr…mr+m+1 and columns mc…mc+m+1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Channels of the image.
    pub channels: usize,
    /// Channels with padding.
    pub depth: usize,
    pub height: usize,
    pub width: usize,
    /// Rows and columns m of a tile.
    pub tile: usize,
    pub tile_rows: usize,
    pub tile_columns: usize,
}

impl Geometry {
    pub fn new(channels: usize, height: usize, width: usize, tile: usize) -> Self {
        Self {
            channels,
            depth: channels.next_multiple_of(CHANNEL_BLOCK),
            height,
            width,
            tile,
            tile_rows: height.div_ceil(tile),
            tile_columns: width.div_ceil(tile),
        }
    }

    /// Floats from one row of a padded image to the next.
    pub fn row_stride(&self) -> usize {
        (self.tile * self.tile_columns + 2) * self.depth
    }

    /// Floats of a padded image.
    pub fn image_len(&self) -> usize {
        (self.tile * self.tile_rows + 2) * self.row_stride()
    }

    /// Points of the transform domain: (m + 2)².
    pub fn points(&self) -> usize {
        (self.tile + 2).pow(2)
    }

    /// Floats of a row of pixels without its border.
    pub fn row_len(&self) -> usize {
        self.width * self.depth
    }

    /// Where the rows of pixels of a chunk's padded images lie.
    pub fn inside_rows(&self, images: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { height, .. } = *self;
        let (layout, len) = (self.layout(), self.row_len());
        (0..images * height).map(move |row| {
            let start = row / height * layout.image + layout.origin + row % height * layout.row;
            start..start + len
        })
    }

    /// Tiles of an image.
    pub fn tiles(&self) -> usize {
        self.tile_rows * self.tile_columns
    }

    /// Offset of the patch of tile `tile`, counted over the images of a chunk.
    pub fn patch(&self, tile: usize) -> usize {
        let (image, tile) = (tile / self.tiles(), tile % self.tiles());
        let (row, column) = (tile / self.tile_columns, tile % self.tile_columns);
        image * self.image_len() + self.tile * (row * self.row_stride() + column * self.depth)
    }

    /// Offset of the first pixel of tile `tile`: the second pixel of the second row of its patch.
    pub fn first_pixel(&self, tile: usize) -> usize {
        self.patch(tile) + self.row_stride() + self.depth
    }

    /// Rows and columns of a tile that lie inside the image.
    pub fn inside(&self, tile: usize) -> (usize, usize) {
        let tile = tile % self.tiles();
        let (row, column) = (tile / self.tile_columns, tile % self.tile_columns);
        let extent = |size: usize, index: usize| (size - self.tile * index).min(self.tile);
        (extent(self.height, row), extent(self.width, column))
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
