//! A view of a decoded picture as it is meant to be seen.

use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, Rgba};

/// A part of a picture, turned upright and laid on a background. Nothing is copied: each pixel is
/// computed when it is asked for.
pub(super) struct Upright<'a> {
    picture: &'a DynamicImage,
    orientation: Orientation,
    background: [u8; 3],
    /// First column and row, in the upright picture.
    origin: (u32, u32),
    /// Columns and rows.
    extent: (u32, u32),
}

impl<'a> Upright<'a> {
    /// The whole picture. Its pixels are α·colour + (1 − α)·background, rounded, and opaque.
    pub fn new(picture: &'a DynamicImage, orientation: Orientation, background: [u8; 3]) -> Self {
        let (width, height) = picture.dimensions();
        let extent = match orientation {
            Orientation::NoTransforms
            | Orientation::FlipHorizontal
            | Orientation::Rotate180
            | Orientation::FlipVertical => (width, height),
            Orientation::Rotate90FlipH
            | Orientation::Rotate90
            | Orientation::Rotate270FlipH
            | Orientation::Rotate270 => (height, width),
        };
        Self { picture, orientation, background, origin: (0, 0), extent }
    }

    /// The part of `width` × `height` pixels that begins at column `x` and row `y`.
    pub fn cut(self, x: u32, y: u32, width: u32, height: u32) -> Self {
        Self { origin: (self.origin.0 + x, self.origin.1 + y), extent: (width, height), ..self }
    }

    /// Where a pixel of the upright picture is in the decoded one. Source: Exif 2.32, tag 274.
    fn source(&self, x: u32, y: u32) -> (u32, u32) {
        let (width, height) = self.picture.dimensions();
        match self.orientation {
            Orientation::NoTransforms => (x, y),
            Orientation::FlipHorizontal => (width - 1 - x, y),
            Orientation::Rotate180 => (width - 1 - x, height - 1 - y),
            Orientation::FlipVertical => (x, height - 1 - y),
            Orientation::Rotate90FlipH => (y, x),
            Orientation::Rotate90 => (y, height - 1 - x),
            Orientation::Rotate270FlipH => (width - 1 - y, height - 1 - x),
            Orientation::Rotate270 => (width - 1 - y, x),
        }
    }
}

impl GenericImageView for Upright<'_> {
    type Pixel = Rgba<u8>;

    fn dimensions(&self) -> (u32, u32) {
        self.extent
    }

    fn get_pixel(&self, x: u32, y: u32) -> Rgba<u8> {
        let (x, y) = self.source(self.origin.0 + x, self.origin.1 + y);
        let Rgba([red, green, blue, alpha]) = self.picture.get_pixel(x, y);
        if alpha == u8::MAX {
            return Rgba([red, green, blue, alpha]);
        }
        let over = |colour: u8, background: u8| {
            let (colour, background, alpha) =
                (u32::from(colour), u32::from(background), u32::from(alpha));
            ((alpha * colour + (255 - alpha) * background + 127) / 255) as u8
        };
        let [r, g, b] = self.background;
        Rgba([over(red, r), over(green, g), over(blue, b), u8::MAX])
    }
}
