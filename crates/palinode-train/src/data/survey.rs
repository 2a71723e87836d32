//! What one reading of all images finds.

use super::decoders::{Decoded, all_unreadable, for_each_image};
use super::digest::Digest;
use super::image_source::{ImageSource, check_source, image_len};
use super::statistics::{Mean, Sums};
use crate::error::{Error, Result};
use palinode::network::DataInfo;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What one reading of all images of a source finds: which of them are the same, their statistics, and a checksum.
///
/// ```
/// use palinode_train::data::{Dataset, Mean, Survey};
///
/// let classes = vec!["dark".to_owned(), "light".to_owned()];
/// let images = Dataset::new(vec![10, 20, 10, 240], vec![0, 1, 1, 1], 1, [1, 1], classes);
/// let survey = Survey::of(&images, Mean::Channel)?;
/// assert_eq!(survey.in_two_classes(&images).0, [(0, 2)]);
/// assert!((survey.describe(&images).mean[0] - 70.0 / 255.0).abs() < 1e-12);
/// # Ok::<(), palinode_train::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Survey {
    pub(super) digests: Vec<Digest>,
    sums: Sums,
}

/// What became of some images of a source.
pub(crate) enum Part {
    /// What was found.
    Read(Survey),
    /// The images that cannot be read, and why.
    Failed(Vec<(usize, Error)>),
}

impl Part {
    /// The survey.
    ///
    /// # Errors
    /// That of the only image that cannot be read, or [`palinode::Error::Config`] naming the first ten.
    pub fn whole(self) -> Result<Survey> {
        match self {
            Self::Read(survey) => Ok(survey),
            Self::Failed(failures) => Err(all_unreadable(failures)),
        }
    }
}

impl Survey {
    /// Reads all images of `source`, on the threads of the caller's pool. All count for the statistics, with the mean
    /// that `mean` names.
    ///
    /// # Errors
    /// As [`check_source`]; what keeps an image from being read, or, where there are several such images,
    /// [`palinode::Error::Config`] naming the first ten.
    pub fn of(source: &dyn ImageSource, mean: Mean) -> Result<Self> {
        check_source(source)?;
        let all = 0..source.len();
        Self::of_part(source, all, &|_| true, mean, &mut |_, _| ())?.whole()
    }

    /// Reads the images in `part`. Those that `counted` says yes to count for the statistics. `progress` is called
    /// with (images so far, images).
    pub(crate) fn of_part(
        source: &dyn ImageSource,
        part: Range<usize>,
        counted: &(dyn Fn(usize) -> bool + Sync),
        mean: Mean,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Part> {
        struct Own {
            image: Vec<u8>,
            digests: Vec<(usize, Digest)>,
            sums: Sums,
        }
        let state = || Own {
            image: vec![0; image_len(source)],
            digests: Vec::new(),
            sums: Sums::none(source, mean),
        };
        let read = |own: &mut Own, index: usize| {
            source.read(index, &mut own.image)?;
            own.digests.push((index, Digest::of(&own.image)));
            if counted(index) {
                own.sums.count(source, &own.image);
            }
            Ok(())
        };
        let Decoded { states, failures } = for_each_image(part.clone(), state, read, progress)?;
        if !failures.is_empty() {
            return Ok(Part::Failed(failures));
        }
        let mut found =
            Self { digests: vec![Digest::default(); part.len()], sums: Sums::none(source, mean) };
        for own in states {
            for (index, digest) in own.digests {
                found.digests[index - part.start] = digest;
            }
            found.sums.add(&own.sums);
        }
        Ok(Part::Read(found))
    }

    /// The parts of a survey, in their order, as one.
    pub(crate) fn join(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(|mut all, part| {
            all.digests.extend(part.digests);
            all.sums.add(&part.sums);
            all
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// A checksum of the images and of their labels in `source`, which this is the survey of. A run that goes on must find
    /// the same one.
    ///
    /// # Panics
    /// If `source` has fewer images than were read.
    pub fn checksum(&self, source: &dyn ImageSource) -> u32 {
        self.digests.iter().enumerate().fold(0, |sum, (index, digest)| {
            let sum = crc32c::crc32c_append(sum, &digest.bytes());
            crc32c::crc32c_append(sum, &(source.label(index) as u64).to_le_bytes())
        })
    }

    /// The description of images like those of `source`, which this is the survey of, standardised by the mean and the
    /// deviation of the images that count.
    pub fn describe(&self, source: &dyn ImageSource) -> DataInfo {
        self.sums.describe(source)
    }
}

/// The description of images like those of `training`, standardised with the mean that `mean` names.
///
/// Pass the training images alone: nothing about validation and test images may enter it.
///
/// # Errors
/// As [`Survey::of`].
pub fn describe(training: &dyn ImageSource, mean: Mean) -> Result<DataInfo> {
    Ok(Survey::of(training, mean)?.describe(training))
}
