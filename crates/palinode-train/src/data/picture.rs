//! A picture file as an image of a network's size.

mod decode;
mod upright;

pub(super) use decode::Kind;

use crate::error::{Error, Result};
use decode::{Decoded, decode};
use image::imageops::{FilterType, resize};
use image::{GenericImageView, ImageBuffer, Rgba, RgbaImage};
use std::path::Path;
use std::sync::Mutex;
use upright::Upright;

/// What pictures are laid on where they are transparent, unless a recipe says otherwise: white.
pub(crate) const BACKGROUND: [u8; 3] = [255; 3];

/// Rows and columns that a picture may have unless a recipe says otherwise.
pub(crate) const LARGEST_SIDE: u32 = 16_384;

/// The form that pictures are brought to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows and columns. A picture is scaled to cover them, and cut evenly where it is larger.
    pub size: [usize; 2],
    /// Red, green and blue of what shows where a picture is transparent.
    pub background: [u8; 3],
    /// Rows and columns that a picture may have. A larger one is refused before it is decoded.
    pub largest_side: u32,
}

impl Form {
    /// Bytes of one image.
    pub fn len(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }
}

/// Writes the picture in `path` to `into`, `[channels, rows, columns]`. Large pictures, which take `turns`, are
/// not decoded beside each other.
pub(super) fn read(path: &Path, form: Form, turns: &Mutex<()>, into: &mut [u8]) -> Result<()> {
    let Decoded { picture, orientation, .. } = &decode(path, form.largest_side, turns)?;
    let whole = Upright::new(picture, *orientation, form.background);
    let [rows, columns] = form.size.map(|extent| extent as u32);
    if whole.dimensions() == (columns, rows) {
        let pixels = whole.pixels().map(|(_, _, pixel)| pixel);
        return write(pixels, form, into);
    }
    // Cut first: scaled to cover the size, a long thin picture would become a huge one.
    let (width, height) = whole.dimensions();
    let (wide, high) = (u64::from(width), u64::from(height));
    let kept_width = (high * u64::from(columns) / u64::from(rows.max(1))).clamp(1, wide);
    let kept_height = (wide * u64::from(rows) / u64::from(columns.max(1))).clamp(1, high);
    let (x, y) = ((wide - kept_width) / 2, (high - kept_height) / 2);
    let kept = whole.cut(x as u32, y as u32, kept_width as u32, kept_height as u32);
    let scaled: RgbaImage = resize(&kept, columns, rows, FilterType::Triangle);
    write(scaled.pixels().copied(), form, into)
}

/// Writes opaque pixels to `into` as planes.
fn write(pixels: impl Iterator<Item = Rgba<u8>>, form: Form, into: &mut [u8]) -> Result<()> {
    let [rows, columns] = form.size;
    let area = rows * columns;
    if form.channels == 1 {
        let colours: Vec<u8> = pixels.flat_map(|pixel| pixel.0).collect();
        let picture: Option<RgbaImage> =
            ImageBuffer::from_raw(columns as u32, rows as u32, colours);
        let Some(picture) = picture else {
            return Err(Error::config("data.folder.size", "does not hold the picture's pixels"));
        };
        into.copy_from_slice(image::DynamicImage::from(picture).to_luma8().as_raw());
        return Ok(());
    }
    for (place, Rgba(colours)) in pixels.enumerate() {
        for (channel, colour) in colours.into_iter().take(form.channels).enumerate() {
            into[channel * area + place] = colour;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
