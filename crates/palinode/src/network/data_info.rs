//! The description of a network's images, which every weight file contains.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Description of the images a network was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataInfo {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows and columns, padding included.
    pub size: [usize; 2],
    /// Mean of each channel over the training images, with pixels in 0…1 and without padding.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel over the same pixels.
    pub std: Vec<f64>,
    /// Mean of each pixel over the training images, `[channels, rows, columns]`. If present, it is
    /// subtracted from the images instead of `mean`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_mean: Option<Vec<f64>>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Zero pixels added on each side of a raw image.
    pub padding: usize,
    /// Red, green and blue that transparent pictures were laid on. `None` if the images had no
    /// transparency; transparent pictures are then laid on white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 3]>,
}

impl DataInfo {
    /// Checks that the fields are consistent.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first inconsistent field.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: &str| Err(Error::config("palinode.data", reason));
        let fit = |values: &[f64], count: usize| {
            values.len() == count && values.iter().all(|value| value.is_finite())
        };
        if !fit(&self.mean, self.channels) || !fit(&self.std, self.channels) {
            return refuse("mean and std must have one finite value per channel");
        }
        if self.std.iter().any(|&std| std <= 0.0) {
            return refuse("std must be positive");
        }
        let pixels = self.channels * self.size[0] * self.size[1];
        if !self.pixel_mean.as_ref().is_none_or(|mean| fit(mean, pixels)) {
            return refuse("pixel_mean must have one finite value per pixel");
        }
        if self.size.iter().any(|&extent| self.padding >= extent.div_ceil(2)) {
            return refuse("padding leaves no room for an image");
        }
        let distinct: std::collections::BTreeSet<&String> = self.classes.iter().collect();
        if distinct.len() < self.classes.len() {
            return refuse("two classes have the same name");
        }
        Ok(())
    }

    /// For each channel, the standardised value (v/255 − mean)/std of every byte v. With `pixel_mean`
    /// it is v/255/std, from which [`shift`](Self::shift) must still be subtracted.
    pub fn lookup(&self) -> Vec<[f32; 256]> {
        let channels = self.mean.iter().zip(&self.std);
        channels
            .map(|(&mean, std)| {
                let mean = if self.pixel_mean.is_some() { 0.0 } else { mean };
                std::array::from_fn(|byte| ((byte as f64 / 255.0 - mean) / std) as f32)
            })
            .collect()
    }

    /// `pixel_mean`/std of each pixel, `[channels, rows, columns]`; `None` without `pixel_mean`.
    ///
    /// # Panics
    /// If `pixel_mean` has more channels than `std`, which [`validate`](Self::validate) refuses.
    pub fn shift(&self) -> Option<Vec<f32>> {
        let area = (self.size[0] * self.size[1]).max(1);
        let mean = self.pixel_mean.as_ref()?.iter().enumerate();
        Some(mean.map(|(pixel, mean)| (mean / self.std[pixel / area]) as f32).collect())
    }
}
