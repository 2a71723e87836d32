//! Picture files (PNG, JPEG) as images of a network's size.

use super::{DataInfo, Dataset};
use crate::error::{Error, Result};
use image::imageops::FilterType;
use std::path::PathBuf;

/// Reads pictures and brings them to what `info` describes: grey or RGB, resized where needed, then
/// zero-padded. Labels are all 0.
///
/// # Errors
/// [`Error::Format`] for a file that is no PNG or JPEG picture, [`Error::Io`] for one that cannot
/// be read.
pub fn load_pictures(paths: &[PathBuf], info: &DataInfo) -> Result<Dataset> {
    let [rows, columns] = info.size.map(|extent| extent - 2 * info.padding);
    let mut images = Vec::new();
    for path in paths {
        let reader = image::ImageReader::open(path)
            .and_then(image::ImageReader::with_guessed_format)
            .map_err(Error::io(path))?;
        let mut picture = reader
            .decode()
            .map_err(|error| Error::format(path, format!("not a PNG or JPEG picture: {error}")))?;
        if (picture.height() as usize, picture.width() as usize) != (rows, columns) {
            picture = picture.resize_exact(columns as u32, rows as u32, FilterType::Triangle);
        }
        if info.channels == 1 {
            images.extend(picture.to_luma8().into_raw());
        } else {
            let interleaved = picture.to_rgb8().into_raw();
            for channel in 0..3 {
                images.extend(interleaved.iter().skip(channel).step_by(3));
            }
        }
    }
    let dataset = Dataset {
        images,
        labels: vec![0; paths.len()],
        channels: info.channels,
        size: [rows, columns],
        padding: 0,
        classes: info.classes.clone(),
    };
    Ok(dataset.padded(info.padding))
}
