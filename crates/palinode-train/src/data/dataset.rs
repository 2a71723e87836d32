//! Labelled images in memory.

use super::image_source::ImageSource;
use crate::error::{Error, Result};
use std::path::Path;

/// The two splits that a data set comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Images to train and validate on.
    Train,
    /// Images for the one test at the end.
    Test,
}

/// Labelled images of one size, as bytes.
///
/// [`new`](Self::new) makes one of images that you have in memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dataset {
    /// `[n, channels, rows, columns]`, 0…255, zero padding included.
    pub images: Vec<u8>,
    /// One class per image, below `classes.len()`.
    pub labels: Vec<u8>,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows and columns, padding included.
    pub size: [usize; 2],
    /// Zero pixels that were added on each side.
    pub padding: usize,
    /// The classes' names.
    pub classes: Vec<String>,
    /// The images' names in messages, one each; empty where they have none.
    pub names: Vec<String>,
    /// What a user of these images should know, such as which files were left out.
    pub remarks: Vec<String>,
    /// Red, green and blue of what shows where pictures are transparent; `None` for images without
    /// transparency.
    pub background: Option<[u8; 3]>,
}

impl Dataset {
    /// Images `[n, channels, rows, columns]` and their classes, without padding, names and remarks.
    pub fn new(
        images: Vec<u8>,
        labels: Vec<u8>,
        channels: usize,
        size: [usize; 2],
        classes: Vec<String>,
    ) -> Self {
        Self {
            images,
            labels,
            channels,
            size,
            padding: 0,
            classes,
            names: Vec::new(),
            remarks: Vec::new(),
            background: None,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn image_len(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// Image `index`, `[channels, rows, columns]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let length = self.image_len();
        &self.images[index * length..(index + 1) * length]
    }

    /// Checks labels read from `path` against the number of classes.
    pub(super) fn check_labels(&self, path: &Path) -> Result<()> {
        let classes = self.classes.len();
        match self.labels.iter().position(|&label| usize::from(label) >= classes) {
            Some(index) => Err(Error::format(
                path,
                format!(
                    "image {index} has label {}, expected one below {classes}",
                    self.labels[index]
                ),
            )),
            None => Ok(()),
        }
    }

    /// Adds `padding` zero pixels on each side.
    pub(super) fn padded(self, padding: usize) -> Self {
        let size = self.size.map(|extent| extent + 2 * padding);
        let length = self.channels * size[0] * size[1];
        let mut images = vec![0; self.len() * length];
        let old = self.images.chunks(self.image_len().max(1));
        for (image, old) in images.chunks_mut(length.max(1)).zip(old) {
            pad(old, self.size, padding, image);
        }
        Self { images, size, padding: self.padding + padding, ..self }
    }
}

/// Writes the planes of `image`, of `size` each, to `into`, which has `padding` more pixels on each side of a plane. Those are
/// left as they are.
pub(super) fn pad(image: &[u8], size: [usize; 2], padding: usize, into: &mut [u8]) {
    let [rows, columns] = size;
    let (new_rows, new_columns) = (rows + 2 * padding, columns + 2 * padding);
    let planes = into.chunks_mut((new_rows * new_columns).max(1));
    for (plane, old) in planes.zip(image.chunks((rows * columns).max(1))) {
        for (row, pixels) in old.chunks(columns.max(1)).enumerate() {
            let start = (row + padding) * new_columns + padding;
            plane[start..start + columns].copy_from_slice(pixels);
        }
    }
}

impl ImageSource for Dataset {
    fn len(&self) -> usize {
        self.labels.len()
    }
    fn channels(&self) -> usize {
        self.channels
    }
    fn size(&self) -> [usize; 2] {
        self.size
    }
    fn padding(&self) -> usize {
        self.padding
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn label(&self, index: usize) -> usize {
        usize::from(self.labels[index])
    }
    fn background(&self) -> Option<[u8; 3]> {
        self.background
    }
    fn name(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| format!("image {index}"))
    }
    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        into.copy_from_slice(self.image(index));
        Ok(())
    }
}
