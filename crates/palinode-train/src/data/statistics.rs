//! How images are standardised: means and deviations of the training images.

use super::dataset::Dataset;
use palinode::network::DataInfo;
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

/// What a network has to know about images like `training`, standardised by the mean that `mean` says.
///
/// Hand in the training images alone, so that nothing of the validation and test images leaks into it.
pub fn describe(training: &Dataset, mean: Mean) -> DataInfo {
    let (means, std) = channel_statistics(training);
    DataInfo {
        channels: training.channels,
        size: training.size,
        mean: means,
        std,
        pixel_mean: (mean == Mean::Pixel).then(|| pixel_means(training)),
        classes: training.classes.clone(),
        padding: training.padding,
    }
}

/// Mean and standard deviation of every channel, pixels in 0…1, padding left out.
fn channel_statistics(training: &Dataset) -> (Vec<f64>, Vec<f64>) {
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
    let std = std.collect();
    (mean, std)
}

/// Mean of every pixel, `[channels, rows, columns]`, in 0…1.
fn pixel_means(training: &Dataset) -> Vec<f64> {
    let mut sums = vec![0_u64; training.image_len()];
    for image in training.images.chunks(training.image_len().max(1)) {
        sums.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += u64::from(pixel));
    }
    let count = training.len().max(1) as f64;
    sums.into_iter().map(|sum| sum as f64 / count / 255.0).collect()
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
        let info = describe(&dataset.padded(3), Mean::Channel);
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
        let info = describe(&dataset, Mean::Pixel);
        let (lookup, shift) = (info.lookup(), info.shift().unwrap());
        let pixel = |byte: usize, place: usize| lookup[0][byte] - shift[place];
        assert_eq!((pixel(10, 0), pixel(40, 3)), (0.0, 0.0));
        assert!((f64::from(pixel(210, 1)) - 5.0 / 255.0 / info.std[0]).abs() < 1e-6);
        assert!((f64::from(pixel(200, 1)) + 5.0 / 255.0 / info.std[0]).abs() < 1e-6);
    }
}
