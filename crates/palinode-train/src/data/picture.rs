//! Picture files (PNG, JPEG) as images of a network's size.

use super::dataset::Dataset;
use crate::error::{Error, Result};
use image::imageops::FilterType;
use palinode::network::DataInfo;
use std::path::{Path, PathBuf};

/// Rows and columns that a picture may have, and bytes that decoding it may take. A larger picture is
/// refused before it is decoded.
const LARGEST: (u32, u64) = (16_384, 1 << 30);

/// Reads pictures and brings them to the form that `info` describes: grey or RGB, scaled to cover the
/// size, cut where they are larger, then zero-padded. Labels are all 0.
///
/// # Errors
/// [`palinode::Error::Format`] for a file that is no PNG or JPEG picture, [`palinode::Error::Io`] for one that cannot
/// be read.
pub fn load_pictures(paths: &[PathBuf], info: &DataInfo) -> Result<Dataset> {
    let size = info.size.map(|extent| extent.saturating_sub(2 * info.padding));
    let decoded: Vec<Vec<u8>> =
        paths.iter().map(|path| decode(path, info.channels, size)).collect::<Result<_>>()?;
    let dataset = Dataset {
        images: decoded.concat(),
        labels: vec![0; paths.len()],
        channels: info.channels,
        size,
        padding: 0,
        classes: info.classes.clone(),
    };
    Ok(dataset.padded(info.padding))
}

/// The picture in `path` as bytes `[channels, rows, columns]`, 1 channel or 3.
pub(super) fn decode(path: &Path, channels: usize, [rows, columns]: [usize; 2]) -> Result<Vec<u8>> {
    let mut reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(Error::io(path))?;
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST.0), Some(LARGEST.0));
    limits.max_alloc = Some(LARGEST.1);
    reader.limits(limits);
    let mut picture = reader
        .decode()
        .map_err(|error| Error::format(path, format!("not a PNG or JPEG picture: {error}")))?;
    if (picture.height() as usize, picture.width() as usize) != (rows, columns) {
        // Cut first: scaled to cover the size, a long thin picture would become a huge one.
        let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
        let kept_width = (height * columns as u64 / rows.max(1) as u64).clamp(1, width);
        let kept_height = (width * rows as u64 / columns.max(1) as u64).clamp(1, height);
        let (x, y) = ((width - kept_width) / 2, (height - kept_height) / 2);
        picture = picture
            .crop_imm(x as u32, y as u32, kept_width as u32, kept_height as u32)
            .resize_exact(columns as u32, rows as u32, FilterType::Triangle);
    }
    if channels == 1 {
        return Ok(picture.to_luma8().into_raw());
    }
    let interleaved = picture.to_rgb8().into_raw();
    let plane = |channel: usize| interleaved.iter().skip(channel).step_by(3).copied();
    Ok((0..3).flat_map(plane).collect())
}
