//! Random crops and flips, on bytes.

use crate::error::{Error, Result};
use palinode::random::{Generator, Purpose};
use serde::{Deserialize, Serialize};

/// `[augmentation]`: how training images are varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Augmentation {
    /// Zero pixels added on each side before a random crop of the original size; 0: no crop.
    pub crop_padding: usize,
    /// Whether half of the images, at random, are mirrored left to right.
    pub flip: bool,
    /// Side of a square that is set to the mean of the training images; 0: none. The square lies
    /// anywhere and may reach beyond the image. Source: DeVries & Taylor 2017, "cutout".
    pub cutout: usize,
}

/// The paper's augmentation: crops after four zero pixels, and flips.
impl Default for Augmentation {
    fn default() -> Self {
        Self { crop_padding: 4, flip: true, cutout: 0 }
    }
}

impl Augmentation {
    /// Images as they are.
    pub const NONE: Self = Self { crop_padding: 0, flip: false, cutout: 0 };

    /// Checks that something is left of images of this size.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where a crop may hold nothing of the image, or the square may cover all
    /// of it.
    pub fn check(self, [rows, columns]: [usize; 2]) -> Result<()> {
        let smallest = rows.min(columns);
        for (field, pixels) in
            [("augmentation.crop_padding", self.crop_padding), ("augmentation.cutout", self.cutout)]
        {
            if pixels >= smallest {
                let reason = format!(
                    "{pixels} pixels leave nothing of some images of {rows}×{columns}; expected fewer \
                     than {smallest}"
                );
                return Err(Error::config(field, reason));
            }
        }
        Ok(())
    }

    /// Sets the square of [`cutout`](Self::cutout) in a standardised image to 0, which is the mean there.
    pub fn cut_out(
        self,
        [rows, columns]: [usize; 2],
        index: usize,
        (seed, pass): (u64, usize),
        image: &mut [f32],
    ) {
        if self.cutout == 0 {
            return;
        }
        let mut generator = Generator::with_stream(seed, Purpose::Cutout, pass as u64);
        generator.seek(index);
        let mut range = |extent: usize| {
            let centre = generator.below(extent as u32) as usize;
            let first = centre.saturating_sub(self.cutout / 2);
            first..(centre + self.cutout.div_ceil(2)).min(extent)
        };
        let (down, across) = (range(rows), range(columns));
        for plane in image.chunks_mut((rows * columns).max(1)) {
            for row in down.clone() {
                plane[row * columns..][across.clone()].fill(0.0);
            }
        }
    }

    /// Writes a variation of `image` to `into`, pixel values translated by `lookup` (one table per
    /// channel).
    ///
    /// The variation depends on the seed, the pass over the data and the image's index alone, not on
    /// the order of calls.
    pub fn write(
        self,
        image: &[u8],
        [rows, columns]: [usize; 2],
        index: usize,
        (seed, pass): (u64, usize),
        lookup: &[[f32; 256]],
        into: &mut [f32],
    ) {
        let mut generator = Generator::with_stream(seed, Purpose::Augmentation, pass as u64);
        generator.seek(index);
        let shifts = 2 * self.crop_padding as u32 + 1;
        let down = generator.below(shifts) as usize;
        let right = generator.below(shifts) as usize;
        let mirrored = self.flip && generator.coin();

        let planes = into.chunks_mut(rows * columns).zip(image.chunks(rows * columns));
        for ((plane, source), lookup) in planes.zip(lookup) {
            for row in 0..rows {
                // Row and column in the padded image, less the padding: the original's.
                let from = (row + down).checked_sub(self.crop_padding).filter(|&r| r < rows);
                for column in 0..columns {
                    let seen = if mirrored { columns - 1 - column } else { column };
                    let side =
                        (seen + right).checked_sub(self.crop_padding).filter(|&c| c < columns);
                    let pixel = match (from, side) {
                        (Some(r), Some(c)) => source[r * columns + c],
                        _ => 0,
                    };
                    plane[row * columns + column] = lookup[usize::from(pixel)];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [3, 4];
    const IMAGE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn identity() -> Vec<[f32; 256]> {
        vec![std::array::from_fn(|byte| byte as f32)]
    }

    #[test]
    fn what_leaves_nothing_of_an_image_is_refused() {
        let check = |crop_padding, cutout| {
            Augmentation { crop_padding, cutout, flip: true }.check([32, 48])
        };
        check(31, 31).unwrap();
        let message = |crop_padding, cutout| check(crop_padding, cutout).unwrap_err().to_string();
        assert!(message(32, 0).contains("augmentation.crop_padding: 32 pixels leave nothing"));
        assert!(message(1000, 0).contains("fewer than 32"));
        assert!(message(4, 100).contains("augmentation.cutout: 100 pixels"));
    }

    #[test]
    fn none_leaves_the_image_alone() {
        let mut into = [0.0; 12];
        Augmentation::NONE.write(&IMAGE, SIZE, 1, (0, 0), &identity(), &mut into);
        assert_eq!(into.map(|v| v as u8), IMAGE);
    }

    #[test]
    fn a_square_of_the_mean_lies_anywhere_and_nowhere_else() {
        let augmentation = Augmentation { cutout: 3, ..Augmentation::NONE };
        let size = [7, 9];
        let mut hit = [0; 63];
        for index in 0..2000 {
            let mut image = [1.0; 126];
            augmentation.cut_out(size, index, (1, 2), &mut image);
            let (first, second) = image.split_at(63);
            assert_eq!(first, second, "channels differ");
            let cut: Vec<usize> = (0..63).filter(|&pixel| first[pixel] == 0.0).collect();
            let rows = cut.iter().map(|pixel| pixel / 9);
            let (top, bottom) = (rows.clone().min().unwrap(), rows.max().unwrap());
            assert!(bottom - top < 3 && (4..=9).contains(&cut.len()), "{cut:?}");
            cut.iter().for_each(|&pixel| hit[pixel] += 1);
        }
        assert!(hit.iter().all(|&count| count > 100), "some pixel is hardly ever cut: {hit:?}");
        let mut image = [1.0; 126];
        Augmentation::NONE.cut_out(size, 0, (1, 2), &mut image);
        assert_eq!(image, [1.0; 126]);
    }

    #[test]
    fn every_shift_and_both_mirrors_occur_and_nothing_else() {
        let augmentation = Augmentation { crop_padding: 1, flip: true, cutout: 0 };
        let shifted = |down: isize, right: isize, mirror: bool| -> Vec<u8> {
            let mut image = Vec::new();
            for row in 0..3 {
                for column in 0..4 {
                    let c = if mirror { 3 - column } else { column } + right;
                    let r = row + down;
                    let inside = (0..3).contains(&r) && (0..4).contains(&c);
                    image.push(if inside { (r * 4 + c + 1) as u8 } else { 0 });
                }
            }
            image
        };
        let mut expected: Vec<Vec<u8>> = Vec::new();
        for down in -1..=1 {
            for right in -1..=1 {
                expected.extend([false, true].map(|mirror| shifted(down, right, mirror)));
            }
        }
        let mut seen = vec![false; expected.len()];
        for epoch in 0..400 {
            let mut into = [0.0; 12];
            augmentation.write(&IMAGE, SIZE, 0, (5, epoch), &identity(), &mut into);
            let image = into.map(|v| v as u8).to_vec();
            let place = expected.iter().position(|e| *e == image);
            seen[place.expect("an image that no shift or mirror gives")] = true;
        }
        assert!(seen.iter().all(|&s| s), "some variation never occurred: {seen:?}");
    }
}
