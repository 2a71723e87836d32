//! The images of a run: for training, for validation, and for the test at its end.

use crate::data::{
    ImageSource, Mean, Selection, check_source, describe, hold_out, image_len, overlap, subset,
};
use crate::error::{Error, Result};
use palinode::network::DataInfo;
use std::sync::Arc;

/// How a data set is split for training; the defaults are those of `[data]` in a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SplitOptions {
    /// Fraction of the images that is held out for validation, the same of every class.
    pub validation: f64,
    /// Fraction of the other images that is trained on, the same of every class.
    pub subset: f64,
    /// Which mean is subtracted from images.
    pub mean: Mean,
    /// Seed of the choice.
    pub seed: u64,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { validation: 0.1, subset: 1.0, mean: Mean::Channel, seed: 0 }
    }
}

impl SplitOptions {
    /// Sets [`validation`](Self::validation).
    #[must_use]
    pub fn with_validation(self, validation: f64) -> Self {
        Self { validation, ..self }
    }

    /// Sets [`subset`](Self::subset).
    #[must_use]
    pub fn with_subset(self, subset: f64) -> Self {
        Self { subset, ..self }
    }

    /// Sets [`mean`](Self::mean).
    #[must_use]
    pub fn with_mean(self, mean: Mean) -> Self {
        Self { mean, ..self }
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// The images of a run and their description.
#[derive(Clone)]
pub struct TrainingData {
    pub(super) training: Arc<dyn ImageSource>,
    pub(super) validation: Arc<dyn ImageSource>,
    pub(super) test: Option<Arc<dyn ImageSource>>,
    /// Images of an epoch: as many as there would be without a subset.
    pub(super) epoch_images: usize,
    /// All images that training and validation come from.
    pub(super) all: Arc<dyn ImageSource>,
    pub(super) checksum: u32,
    info: DataInfo,
}

impl TrainingData {
    /// Training and validation images out of `source`, which is read once or twice here.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where no image is left to train on, and what keeps an image from being read.
    pub fn split(source: impl ImageSource + 'static, options: SplitOptions) -> Result<Self> {
        Self::split_shared(Arc::new(source), options)
    }

    pub(super) fn split_shared(all: Arc<dyn ImageSource>, options: SplitOptions) -> Result<Self> {
        check_source(all.as_ref())?;
        let labels: Vec<usize> = (0..all.len()).map(|index| all.label(index)).collect();
        let (training, validation) = hold_out(&labels, options.validation, options.seed);
        let chosen = subset(&labels, &training, options.subset, options.seed);
        if chosen.is_empty() {
            return Err(Error::config("data.validation", "leaves no image to train on"));
        }
        // The description is stored in the header of every weight file, whose size is limited.
        if options.mean == Mean::Pixel && image_len(all.as_ref()) > 1 << 20 {
            let reason = "images of more than a million numbers have one mean per channel";
            return Err(Error::config("data.mean", reason));
        }
        let epoch_images = training.len();
        let training = Selection::new(Arc::clone(&all), chosen)?;
        let validation = Selection::new(Arc::clone(&all), validation)?;
        Ok(Self {
            info: describe(&training, options.mean)?,
            training: Arc::new(training),
            validation: Arc::new(validation),
            test: None,
            epoch_images,
            checksum: all.checksum()?,
            all,
        })
    }

    /// Adds test images, of which `allowed` may also be training or validation images.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where there are more such images, or where the test images are of another kind.
    pub fn with_test(self, test: impl ImageSource + 'static, allowed: usize) -> Result<Self> {
        self.with_shared_test(Arc::new(test), allowed)
    }

    pub(super) fn with_shared_test(
        mut self,
        test: Arc<dyn ImageSource>,
        allowed: usize,
    ) -> Result<Self> {
        check_source(test.as_ref())?;
        let kind =
            |source: &dyn ImageSource| (source.channels(), source.size(), source.classes().len());
        let (found, expected) = (kind(test.as_ref()), kind(self.all.as_ref()));
        if found != expected {
            let reason = format!(
                "(channels, size, classes) of the test images are {found:?}, of the training images \
                 {expected:?}"
            );
            return Err(Error::config("data", reason));
        }
        let shared = overlap(self.all.as_ref(), test.as_ref())?;
        if shared > allowed {
            let reason = format!(
                "{shared} of {} test images are also among the training images, so a test on them \
                 measures nothing (data.allowed_overlap is the number of duplicates that are accepted)",
                test.len()
            );
            return Err(Error::config("data", reason));
        }
        self.test = Some(test);
        Ok(self)
    }

    /// The description of the images, for a network and its weight files.
    pub fn info(&self) -> &DataInfo {
        &self.info
    }
}
