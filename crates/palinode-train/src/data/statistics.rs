//! How images are standardised: means and deviations of the training images.

use super::image_source::{ImageSource, check_source, image_len};
use crate::error::Result;
use palinode::network::DataInfo;
use serde::{Deserialize, Serialize};

/// Which mean is subtracted from images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mean {
    /// One mean for each channel.
    #[default]
    Channel,
    /// One mean for each pixel, as the paper's authors do.
    Pixel,
}

/// The description of images like those of `training`, standardised with the mean that `mean` names.
///
/// Pass the training images alone: nothing about validation and test images may enter it.
///
/// # Errors
/// As [`ImageSource::read`].
pub fn describe(training: &dyn ImageSource, mean: Mean) -> Result<DataInfo> {
    let sums = Sums::of(training, mean)?;
    let (means, std) = sums.of_channels();
    Ok(DataInfo {
        channels: training.channels(),
        size: training.size(),
        mean: means,
        std,
        pixel_mean: (mean == Mean::Pixel).then(|| sums.of_pixels()),
        classes: training.classes().to_vec(),
        padding: training.padding(),
        background: training.background(),
    })
}

/// Sums over all images. Sums of bytes are exact in u64; only the last division rounds.
struct Sums {
    images: usize,
    /// Pixels of one channel of one image, padding left out.
    area: usize,
    /// Sum and sum of squares of every channel, padding left out.
    channels: Vec<(u64, u64)>,
    /// Sum of every pixel; empty where only the channels are asked for.
    pixels: Vec<u64>,
}

impl Sums {
    fn of(training: &dyn ImageSource, mean: Mean) -> Result<Self> {
        check_source(training)?;
        let ([rows, columns], padding) = (training.size(), training.padding());
        let length = image_len(training);
        let mut sums = Self {
            images: training.len(),
            area: (rows - 2 * padding) * (columns - 2 * padding),
            channels: vec![(0, 0); training.channels()],
            pixels: vec![0; if mean == Mean::Pixel { length } else { 0 }],
        };
        let mut image = vec![0; length];
        for index in 0..training.len() {
            training.read(index, &mut image)?;
            for (plane, (sum, squares)) in image.chunks(rows * columns).zip(&mut sums.channels) {
                for row in padding..rows - padding {
                    for &pixel in &plane[row * columns + padding..(row + 1) * columns - padding] {
                        *sum += u64::from(pixel);
                        *squares += u64::from(pixel) * u64::from(pixel);
                    }
                }
            }
            sums.pixels.iter_mut().zip(&image).for_each(|(sum, &pixel)| *sum += u64::from(pixel));
        }
        Ok(sums)
    }

    /// Mean and standard deviation of every channel, pixels in 0…1.
    fn of_channels(&self) -> (Vec<f64>, Vec<f64>) {
        let count = (self.images * self.area).max(1) as f64;
        let mean: Vec<f64> =
            self.channels.iter().map(|&(sum, _)| sum as f64 / count / 255.0).collect();
        let std = self.channels.iter().zip(&mean).map(|(&(_, squares), mean)| {
            let variance = squares as f64 / count / (255.0 * 255.0) - mean * mean;
            // A constant channel is left as it is.
            if variance > 1e-12 { variance.sqrt() } else { 1.0 }
        });
        let std = std.collect();
        (mean, std)
    }

    /// Mean of every pixel, `[channels, rows, columns]`, in 0…1.
    fn of_pixels(&self) -> Vec<f64> {
        let count = self.images.max(1) as f64;
        self.pixels.iter().map(|&sum| sum as f64 / count / 255.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    #[test]
    fn statistics_leave_the_padding_out() {
        let images = vec![0, 255, 255, 0, 255, 255, 255, 255];
        let dataset = Dataset::new(images, vec![0, 1], 1, [2, 2], vec!["a".into(), "b".into()]);
        let info = describe(&dataset.padded(3), Mean::Channel).unwrap();
        assert_eq!(info.size, [8, 8]);
        assert!((info.mean[0] - 0.75).abs() < 1e-12);
        assert!((info.std[0] - (0.75_f64 * 0.25).sqrt()).abs() < 1e-12);
        let lookup = info.lookup();
        assert!((f64::from(lookup[0][255]) - 0.25 / info.std[0]).abs() < 1e-6);
    }

    #[test]
    fn a_mean_of_each_pixel_leaves_nothing_of_a_constant_image() {
        let dataset = Dataset::new(
            vec![10, 200, 30, 40, 10, 210, 30, 40],
            vec![0, 1],
            1,
            [2, 2],
            vec!["a".into(), "b".into()],
        );
        let info = describe(&dataset, Mean::Pixel).unwrap();
        let (lookup, shift) = (info.lookup(), info.shift().unwrap());
        let pixel = |byte: usize, place: usize| lookup[0][byte] - shift[place];
        assert_eq!((pixel(10, 0), pixel(40, 3)), (0.0, 0.0));
        assert!((f64::from(pixel(210, 1)) - 5.0 / 255.0 / info.std[0]).abs() < 1e-6);
        assert!((f64::from(pixel(200, 1)) + 5.0 / 255.0 / info.std[0]).abs() < 1e-6);
    }
}
