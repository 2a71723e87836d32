//! Where images come from: a data set as the training loop sees it.

use crate::error::{Error, Result};
use std::sync::Arc;

/// Labelled images of one size, read one at a time.
///
/// * shape of an image: `[channels, rows, columns]`, bytes 0…255, row-major
/// * labels: class indices below `classes().len()`
/// * order: index `i` names the same image every time
///
/// [`Dataset`](super::Dataset) holds its images in memory. A source of your own may read them from
/// files when [`read`](Self::read) asks for them. Several threads read at the same time.
pub trait ImageSource: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels: 1 (grey) or 3 (red, green, blue).
    fn channels(&self) -> usize;

    /// Rows and columns, padding included.
    fn size(&self) -> [usize; 2];

    /// Zero pixels on each side that do not belong to the original image.
    fn padding(&self) -> usize {
        0
    }

    /// Red, green and blue of what shows where a picture is transparent; `None`, the default, where the
    /// images have no transparency.
    fn background(&self) -> Option<[u8; 3]> {
        None
    }

    /// The names of the classes.
    fn classes(&self) -> &[String];

    /// The class of image `index`.
    fn label(&self, index: usize) -> usize;

    /// The name of image `index` in messages.
    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    /// What a user of these images should know, such as which files were left out. Programs show it, and
    /// reports list it.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Writes image `index` to `into`, which has [`image_len`] bytes.
    ///
    /// # Errors
    /// Whatever keeps the image from being read.
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()>;

    /// A checksum of all images and labels. A run that is resumed must find the same one.
    ///
    /// The default reads everything once. A large source can return a checksum that it has stored.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn checksum(&self) -> Result<u32> {
        let mut crc = flate2::Crc::new();
        let mut image = vec![0; image_len(self)];
        for index in 0..self.len() {
            self.read(index, &mut image)?;
            crc.update(&image);
            crc.update(&(self.label(index) as u64).to_le_bytes());
        }
        Ok(crc.sum())
    }
}

/// Bytes of one image of `source`.
pub fn image_len<S: ImageSource + ?Sized>(source: &S) -> usize {
    let [rows, columns] = source.size();
    source.channels() * rows * columns
}

/// Checks what the training loop relies on: sizes that are not zero and labels that name a class.
///
/// # Errors
/// [`palinode::Error::Config`] about `data`.
pub fn check_source<S: ImageSource + ?Sized>(source: &S) -> Result<()> {
    let refuse = |reason: String| Err(Error::config("data", reason));
    if image_len(source) == 0 {
        let reason = format!(
            "images of {} channels and {:?} pixels hold nothing",
            source.channels(),
            source.size()
        );
        return refuse(reason);
    }
    if source.size().iter().any(|&extent| source.padding() >= extent.div_ceil(2)) {
        let reason = format!(
            "padding {} leaves nothing of images of {:?} pixels",
            source.padding(),
            source.size()
        );
        return refuse(reason);
    }
    let classes = source.classes().len();
    match (0..source.len()).find(|&index| source.label(index) >= classes) {
        Some(index) => refuse(format!(
            "image {index} has label {}, expected one below {classes}",
            source.label(index)
        )),
        None => Ok(()),
    }
}

/// A borrowed or shared source is a source.
macro_rules! delegate {
    ($pointer:ty) => {
        impl<S: ImageSource + ?Sized> ImageSource for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }
            fn channels(&self) -> usize {
                (**self).channels()
            }
            fn size(&self) -> [usize; 2] {
                (**self).size()
            }
            fn padding(&self) -> usize {
                (**self).padding()
            }
            fn background(&self) -> Option<[u8; 3]> {
                (**self).background()
            }
            fn classes(&self) -> &[String] {
                (**self).classes()
            }
            fn label(&self, index: usize) -> usize {
                (**self).label(index)
            }
            fn name(&self, index: usize) -> String {
                (**self).name(index)
            }
            fn remarks(&self) -> Vec<String> {
                (**self).remarks()
            }
            fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
                (**self).read(index, into)
            }
            fn checksum(&self) -> Result<u32> {
                (**self).checksum()
            }
        }
    };
}

delegate!(&S);
delegate!(Arc<S>);

/// Some images of another source, in an order of their own.
#[derive(Clone, Debug)]
pub struct Selection<S> {
    source: S,
    indices: Vec<usize>,
}

impl<S: ImageSource> Selection<S> {
    /// The images of `source` at `indices`.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] for an index that `source` does not have.
    pub fn new(source: S, indices: Vec<usize>) -> Result<Self> {
        let images = source.len();
        match indices.iter().find(|&&index| index >= images) {
            Some(index) => {
                let reason = format!("there is no image {index} among {images}");
                Err(Error::config("data", reason))
            }
            None => Ok(Self { source, indices }),
        }
    }
}

impl<S: ImageSource> ImageSource for Selection<S> {
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn channels(&self) -> usize {
        self.source.channels()
    }
    fn size(&self) -> [usize; 2] {
        self.source.size()
    }
    fn padding(&self) -> usize {
        self.source.padding()
    }
    fn background(&self) -> Option<[u8; 3]> {
        self.source.background()
    }
    fn classes(&self) -> &[String] {
        self.source.classes()
    }
    fn label(&self, index: usize) -> usize {
        self.source.label(self.indices[index])
    }
    fn name(&self, index: usize) -> String {
        self.source.name(self.indices[index])
    }
    fn remarks(&self) -> Vec<String> {
        self.source.remarks()
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        self.source.read(self.indices[index], into)
    }
}
