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
/// files when [`read`](Self::read) asks for them, and then has a [`listing`](Self::listing); [`Kept`](super::Kept) keeps some
/// of them in memory. Several threads read at the same time.
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

    /// For a source that reads images from files when it is asked for them: a checksum of what it knows of them without
    /// reading, such as the names and sizes of the files. `None`, the default, for images in memory.
    ///
    /// Training then treats them so:
    ///
    /// * Several ranks share the [first reading](super::Survey) of all images. All must have the same listing.
    /// * An image that is another one when it is read again is an error.
    /// * As many threads as compute read the next batch ahead.
    fn listing(&self) -> Option<u32> {
        None
    }
}

/// Bytes of one image of `source`.
pub fn image_len<S: ImageSource + ?Sized>(source: &S) -> usize {
    let [rows, columns] = source.size();
    source.channels() * rows * columns
}

/// Images of `source` per class.
pub fn class_counts<S: ImageSource + ?Sized>(source: &S) -> Vec<usize> {
    let mut counts = vec![0; source.classes().len()];
    (0..source.len()).for_each(|index| counts[source.label(index)] += 1);
    counts
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

/// Methods of a source that are those of another one: `delegated!(|own| own.source => len channels)`.
macro_rules! delegated {
    (|$own:ident| $source:expr => $($method:ident)*) => {
        $(delegated!(@ $method, $own, $source);)*
    };
    (@ len, $own:ident, $source:expr) => {
        fn len(&self) -> usize {
            let $own = self;
            $source.len()
        }
    };
    (@ channels, $own:ident, $source:expr) => {
        fn channels(&self) -> usize {
            let $own = self;
            $source.channels()
        }
    };
    (@ size, $own:ident, $source:expr) => {
        fn size(&self) -> [usize; 2] {
            let $own = self;
            $source.size()
        }
    };
    (@ padding, $own:ident, $source:expr) => {
        fn padding(&self) -> usize {
            let $own = self;
            $source.padding()
        }
    };
    (@ background, $own:ident, $source:expr) => {
        fn background(&self) -> Option<[u8; 3]> {
            let $own = self;
            $source.background()
        }
    };
    (@ classes, $own:ident, $source:expr) => {
        fn classes(&self) -> &[String] {
            let $own = self;
            $source.classes()
        }
    };
    (@ label, $own:ident, $source:expr) => {
        fn label(&self, index: usize) -> usize {
            let $own = self;
            $source.label(index)
        }
    };
    (@ name, $own:ident, $source:expr) => {
        fn name(&self, index: usize) -> String {
            let $own = self;
            $source.name(index)
        }
    };
    (@ remarks, $own:ident, $source:expr) => {
        fn remarks(&self) -> Vec<String> {
            let $own = self;
            $source.remarks()
        }
    };
    (@ listing, $own:ident, $source:expr) => {
        fn listing(&self) -> Option<u32> {
            let $own = self;
            $source.listing()
        }
    };
    (@ read, $own:ident, $source:expr) => {
        fn read(&self, index: usize, into: &mut [u8]) -> crate::error::Result<()> {
            let $own = self;
            $source.read(index, into)
        }
    };
}
pub(super) use delegated;

/// A borrowed source is a source.
impl<S: ImageSource + ?Sized> ImageSource for &S {
    delegated!(|own| (**own) => len channels size padding background classes label name remarks listing read);
}

/// A shared source is a source.
impl<S: ImageSource + ?Sized> ImageSource for Arc<S> {
    delegated!(|own| (**own) => len channels size padding background classes label name remarks listing read);
}

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
    delegated!(|own| own.source => channels size padding background classes remarks listing);
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn label(&self, index: usize) -> usize {
        self.source.label(self.indices[index])
    }
    fn name(&self, index: usize) -> String {
        self.source.name(self.indices[index])
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        self.source.read(self.indices[index], into)
    }
}
