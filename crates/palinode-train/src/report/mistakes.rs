//! The mistakes the network was surest of.

use super::escape;
use crate::data::{ImageSource, image_len};
use crate::error::{Error, Result};
use crate::train::{Evaluation, most_probable};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use std::fmt::Write;

const SHOWN: usize = 24;

pub(super) fn grid(test: &dyn ImageSource, evaluation: &Evaluation) -> Result<String> {
    let classes = test.classes().len();
    let probabilities = evaluation.probabilities(classes);
    let mut mistakes: Vec<(f32, usize, usize)> = Vec::new();
    for (index, row) in probabilities.chunks(classes.max(1)).enumerate() {
        let said = most_probable(row);
        if said != test.label(index) {
            mistakes.push((row[said], index, said));
        }
    }
    if mistakes.is_empty() {
        return Ok("<p>There are none.</p>\n".to_owned());
    }
    mistakes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut html = String::from("<div class=\"mistakes\">\n");
    for &(probability, index, said) in mistakes.iter().take(SHOWN) {
        let _ = writeln!(
            html,
            "<figure><img alt=\"test image {index}\" src=\"data:image/png;base64,{}\">\
             <figcaption>{}<br><span class=\"said\">said {}, {:.1} %</span></figcaption></figure>",
            STANDARD.encode(png(test, index)?),
            escape(&test.classes()[test.label(index)]),
            escape(&test.classes()[said]),
            100.0 * probability,
        );
    }
    Ok(html + "</div>\n")
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
