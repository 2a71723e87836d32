//! The mistakes the network was surest of.

use super::numbers::percent;
use crate::data::{ImageSource, image_len};
use crate::error::{Error, Result};
use crate::train::{Evaluation, most_probable};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

const SHOWN: usize = 24;

/// A test image with a wrong prediction.
pub(super) struct Mistake {
    /// Its number in the test split.
    pub(super) index: usize,
    /// The image as PNG in base 64.
    pub(super) png: String,
    pub(super) truth: String,
    pub(super) predicted: String,
    /// The predicted class's probability, in per cent.
    pub(super) probability: String,
}

/// The mistakes with the highest probabilities, the highest first.
///
/// # Errors
/// [`palinode::Error::Format`] where an image cannot be encoded, and whatever keeps it from being read.
pub(super) fn mistakes(test: &dyn ImageSource, evaluation: &Evaluation) -> Result<Vec<Mistake>> {
    let classes = test.classes().len();
    let probabilities = evaluation.probabilities(classes);
    let mut wrong: Vec<(f32, usize, usize)> = Vec::new();
    for (index, row) in probabilities.chunks(classes.max(1)).enumerate() {
        let predicted = most_probable(row);
        if predicted != test.label(index) {
            wrong.push((row[predicted], index, predicted));
        }
    }
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let shown = wrong.into_iter().take(SHOWN);
    shown
        .map(|(probability, index, predicted)| {
            Ok(Mistake {
                index,
                png: STANDARD.encode(png(test, index)?),
                truth: test.classes()[test.label(index)].clone(),
                predicted: test.classes()[predicted].clone(),
                probability: percent(probability.into()),
            })
        })
        .collect()
}

fn png(test: &dyn ImageSource, index: usize) -> Result<Vec<u8>> {
    let [rows, columns] = test.size();
    let mut planes = vec![0; image_len(test)];
    test.read(index, &mut planes)?;
    let pixels: Vec<u8> = (0..rows * columns)
        .flat_map(|pixel| planes.iter().skip(pixel).step_by(rows * columns).copied())
        .collect();
    let colour = if test.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&pixels, columns as u32, rows as u32, colour)
        .map_err(|error| Error::format("report.html", error.to_string()))?;
    Ok(bytes)
}
