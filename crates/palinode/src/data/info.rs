//! What a network has to know about its images: kept in every weight file.

use super::Dataset;
use crate::network::NetworkConfig;
use serde::{Deserialize, Serialize};

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
            classes: training.classes.clone(),
            padding,
        }
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
        if self.size.iter().any(|&extent| self.padding >= extent.div_ceil(2)) {
            return Err("`palinode.data`: padding leaves no room for an image".into());
        }
        let fits = (self.channels, self.size, self.classes.len())
            == (config.channels, config.size, config.classes);
        if !fits {
            return Err("`palinode.data` and `palinode.config` describe different images".into());
        }
        Ok(())
    }

    /// For each channel, the standardised value (v/255 − mean)/std of every byte v.
    pub fn lookup(&self) -> Vec<[f32; 256]> {
        let channels = self.mean.iter().zip(&self.std);
        channels
            .map(|(mean, std)| {
                std::array::from_fn(|byte| ((byte as f64 / 255.0 - mean) / std) as f32)
            })
            .collect()
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
}
