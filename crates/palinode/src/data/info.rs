//! What a network has to know about its images: kept in every weight file.

use super::{Dataset, FolderOptions};
use crate::network::NetworkConfig;
use serde::{Deserialize, Serialize};

/// Which mean is subtracted from images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mean {
    /// One of each channel.
    #[default]
    Channel,
    /// One of each pixel, as the paper's authors do.
    Pixel,
}

/// Description of the images a network was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataInfo {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows and columns, padding included.
    pub size: [usize; 2],
    /// Mean of each channel over the training images, pixels in 0…1, padding left out.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel, likewise.
    pub std: Vec<f64>,
    /// Mean of each pixel over the training images, `[channels, rows, columns]`, where images are
    /// standardised by it rather than by the channels' means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_mean: Option<Vec<f64>>,
    /// The classes' names.
    pub classes: Vec<String>,
    /// Zero pixels added on each side of a raw image.
    pub padding: usize,
}

impl DataInfo {
    /// The description of `training`: hand in the training part alone, so that nothing of the
    /// validation and test images leaks into it.
    pub fn of(training: &Dataset) -> Self {
        let [rows, columns] = training.size;
        let padding = training.padding;
        // Sums of bytes are exact in u64; only the last division rounds.
        let mut sums = vec![(0_u64, 0_u64); training.channels];
        for (index, plane) in training.images.chunks(rows * columns).enumerate() {
            let (sum, squares) = &mut sums[index % training.channels];
            for row in padding..rows - padding {
                for &pixel in &plane[row * columns + padding..(row + 1) * columns - padding] {
                    *sum += u64::from(pixel);
                    *squares += u64::from(pixel) * u64::from(pixel);
                }
            }
        }
        let pixels = training.len() * (rows - 2 * padding) * (columns - 2 * padding);
        let count = pixels.max(1) as f64;
        let mean: Vec<f64> = sums.iter().map(|&(sum, _)| sum as f64 / count / 255.0).collect();
        let std = sums.iter().zip(&mean).map(|(&(_, squares), mean)| {
            let variance = squares as f64 / count / (255.0 * 255.0) - mean * mean;
            // A constant channel is left as it is.
            if variance > 1e-12 { variance.sqrt() } else { 1.0 }
        });
        Self {
            channels: training.channels,
            size: training.size,
            std: std.collect(),
            mean,
            pixel_mean: None,
            classes: training.classes.clone(),
            padding,
        }
    }

    /// The same, standardised by the mean that `which` says.
    pub fn with_mean(mut self, which: Mean, training: &Dataset) -> Self {
        self.pixel_mean = (which == Mean::Pixel).then(|| {
            let mut sums = vec![0_u64; training.image_len()];
            for image in training.images.chunks(training.image_len().max(1)) {
                sums.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += u64::from(pixel));
            }
            let count = training.len().max(1) as f64;
            sums.into_iter().map(|sum| sum as f64 / count / 255.0).collect()
        });
        self
    }

    /// What pictures in folders have to become for these images.
    pub fn folder_options(&self) -> FolderOptions {
        let size = self.size.map(|extent| extent.saturating_sub(2 * self.padding));
        FolderOptions { size, grey: self.channels == 1 }
    }

    /// Whether this description makes sense and fits the network's.
    pub(crate) fn validate(&self, config: &NetworkConfig) -> Result<(), String> {
        let numbers_fit = self.mean.len() == self.channels
            && self.std.len() == self.channels
            && self.std.iter().all(|std| std.is_finite() && *std > 0.0)
            && self.mean.iter().all(|mean| mean.is_finite());
        if !numbers_fit {
            return Err("`palinode.data`: mean and std must have one value per channel".into());
        }
        let fits = (self.channels, self.size, self.classes.len())
            == (config.channels, config.size, config.classes);
        if !fits {
            return Err("`palinode.data` and `palinode.config` describe different images".into());
        }
        let pixels = self.channels * self.size[0] * self.size[1];
        let pixels_fit =
            |mean: &Vec<f64>| mean.len() == pixels && mean.iter().all(|m| m.is_finite());
        if !self.pixel_mean.as_ref().is_none_or(pixels_fit) {
            return Err("`palinode.data`: pixel_mean must have one value per pixel".into());
        }
        if self.size.iter().any(|&extent| self.padding >= extent.div_ceil(2)) {
            return Err("`palinode.data`: padding leaves no room for an image".into());
        }
        Ok(())
    }

    /// For each channel, the standardised value (v/255 − mean)/std of every byte v; with a mean of
    /// each pixel v/255/std, from which [`shift`](Self::shift) is still to be taken.
    pub fn lookup(&self) -> Vec<[f32; 256]> {
        let channels = self.mean.iter().zip(&self.std);
        channels
            .map(|(&mean, std)| {
                let mean = if self.pixel_mean.is_some() { 0.0 } else { mean };
                std::array::from_fn(|byte| ((byte as f64 / 255.0 - mean) / std) as f32)
            })
            .collect()
    }

    /// mean/std of each pixel, where images are standardised by that.
    pub fn shift(&self) -> Option<Vec<f32>> {
        let area = (self.size[0] * self.size[1]).max(1);
        let mean = self.pixel_mean.as_ref()?.iter().enumerate();
        Some(mean.map(|(pixel, mean)| (mean / self.std[pixel / area]) as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_leave_the_padding_out() {
        let images = vec![0, 255, 255, 0, 255, 255, 255, 255];
        let dataset = Dataset {
            images,
            labels: vec![0, 1],
            channels: 1,
            size: [2, 2],
            padding: 0,
            classes: vec!["a".into(), "b".into()],
        };
        let info = DataInfo::of(&dataset.padded(3));
        assert_eq!(info.size, [8, 8]);
        assert!((info.mean[0] - 0.75).abs() < 1e-12);
        assert!((info.std[0] - (0.75_f64 * 0.25).sqrt()).abs() < 1e-12);
        let lookup = info.lookup();
        assert!((f64::from(lookup[0][255]) - 0.25 / info.std[0]).abs() < 1e-6);
    }

    #[test]
    fn a_mean_of_each_pixel_leaves_nothing_of_a_constant_image() {
        let dataset = Dataset {
            images: vec![10, 200, 30, 40, 10, 210, 30, 40],
            labels: vec![0, 1],
            channels: 1,
            size: [2, 2],
            padding: 0,
            classes: vec!["a".into(), "b".into()],
        };
        let info = DataInfo::of(&dataset).with_mean(Mean::Pixel, &dataset);
        let (lookup, shift) = (info.lookup(), info.shift().unwrap());
        let pixel = |byte: usize, place: usize| lookup[0][byte] - shift[place];
        assert_eq!((pixel(10, 0), pixel(40, 3)), (0.0, 0.0));
        assert!((f64::from(pixel(210, 1)) - 5.0 / 255.0 / info.std[0]).abs() < 1e-6);
        assert!((f64::from(pixel(200, 1)) + 5.0 / 255.0 / info.std[0]).abs() < 1e-6);
    }
}
