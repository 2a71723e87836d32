//! How images are standardised: means and deviations of the training images.

use super::image_source::{ImageSource, image_len};
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

/// Sums over some images. Sums of bytes are exact in u64, in any order; only the last division rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sums {
    images: usize,
    /// Sum and sum of squares of every channel, padding left out.
    channels: Vec<(u64, u64)>,
    /// Sum of every pixel; empty where only the channels are asked for.
    pixels: Vec<u64>,
}

impl Sums {
    /// Those over no image of `source`.
    pub fn none(source: &dyn ImageSource, mean: Mean) -> Self {
        let pixels = if mean == Mean::Pixel { image_len(source) } else { 0 };
        Self { images: 0, channels: vec![(0, 0); source.channels()], pixels: vec![0; pixels] }
    }

    /// Adds an image of `source`.
    pub fn count(&mut self, source: &dyn ImageSource, image: &[u8]) {
        let ([rows, columns], padding) = (source.size(), source.padding());
        self.images += 1;
        for (plane, (sum, squares)) in image.chunks(rows * columns).zip(&mut self.channels) {
            for row in padding..rows - padding {
                for &pixel in &plane[row * columns + padding..(row + 1) * columns - padding] {
                    *sum += u64::from(pixel);
                    *squares += u64::from(pixel) * u64::from(pixel);
                }
            }
        }
        self.pixels.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += u64::from(pixel));
    }

    /// Adds the sums over other images.
    pub fn add(&mut self, others: &Self) {
        self.images += others.images;
        for ((sum, squares), other) in self.channels.iter_mut().zip(&others.channels) {
            *sum += other.0;
            *squares += other.1;
        }
        self.pixels.iter_mut().zip(&others.pixels).for_each(|(sum, other)| *sum += other);
    }

    /// The description of images like those of `source`.
    pub fn describe(&self, source: &dyn ImageSource) -> DataInfo {
        let area: usize =
            source.size().iter().map(|extent| extent - 2 * source.padding()).product();
        let (mean, std) = self.of_channels(area);
        DataInfo {
            channels: source.channels(),
            size: source.size(),
            mean,
            std,
            pixel_mean: (!self.pixels.is_empty()).then(|| self.of_pixels()),
            classes: source.classes().to_vec(),
            padding: source.padding(),
            background: source.background(),
        }
    }

    /// Mean and standard deviation of every channel of `area` pixels, in 0…1.
    fn of_channels(&self, area: usize) -> (Vec<f64>, Vec<f64>) {
        let count = (self.images * area).max(1) as f64;
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
    use crate::data::{Dataset, describe};

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
