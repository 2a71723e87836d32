//! The images of a run: for training, for validation, and for the test at its end.

use super::first_reading::FirstReading;
use crate::data::{
    Checked, ImageSource, Mean, Relabelled, Selection, Survey, check_source, class_counts,
    hold_out, image_len, subset,
};
use crate::error::{Error, Result};
use palinode::network::DataInfo;
use palinode::wording::first_ten;
use serde::{Deserialize, Serialize};
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
    all: Arc<dyn ImageSource>,
    /// What is known of them.
    survey: Survey,
    pub(super) checksums: Checksums,
    /// What a user should know about the images.
    pub(super) remarks: Vec<String>,
    info: DataInfo,
}

/// Checksums of a run's images. A run goes on with the same images only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksums {
    /// Of the images for training and validation.
    pub training: u32,
    /// Of the test images, where the run has some.
    pub test: Option<u32>,
}

impl TrainingData {
    /// Training and validation images out of `source`, all of which are read once here.
    ///
    /// Where a class has too few images for some to be held out, a [remark](Self::remarks) says so; another
    /// one names images that are in two classes.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where no image is left to train on, and what keeps an image from being read.
    pub fn split(source: impl ImageSource + 'static, options: SplitOptions) -> Result<Self> {
        Self::split_by(Arc::new(source), options, &mut FirstReading::alone())
    }

    /// [`split`](Self::split), where several ranks share the first reading.
    ///
    /// # Errors
    /// As [`split`](Self::split); [`Error::OtherRank`] where a rank has other files.
    pub fn split_by(
        all: Arc<dyn ImageSource>,
        options: SplitOptions,
        reading: &mut FirstReading<'_>,
    ) -> Result<Self> {
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
        // The statistics are those of the images that are trained on.
        let counted = |index| chosen.binary_search(&index).is_ok();
        let survey = reading.survey(all.as_ref(), &counted, options.mean)?;
        let mut remarks = all.remarks();
        remarks.extend(survey.in_two_classes(&all).remark(&all));
        remarks.extend(split_remarks(&all, &labels, &chosen, &validation, options.validation));
        let all = unchanged(all, &survey);
        let training = Selection::new(Arc::clone(&all), chosen)?;
        let validation = Selection::new(Arc::clone(&all), validation)?;
        Ok(Self {
            info: survey.describe(&training),
            training: Arc::new(training),
            validation: Arc::new(validation),
            test: None,
            epoch_images,
            checksums: Checksums { training: survey.checksum(&all), test: None },
            all,
            survey,
            remarks,
        })
    }

    /// Adds test images, of which `allowed` may also be training or validation images. Their classes are
    /// matched by name.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where there are more such images, which are named; where the test images
    /// are of another kind or have other classes.
    pub fn with_test(self, test: impl ImageSource + 'static, allowed: usize) -> Result<Self> {
        self.with_test_by(Arc::new(test), allowed, &mut FirstReading::alone())
    }

    /// [`with_test`](Self::with_test), where several ranks share the first reading.
    ///
    /// # Errors
    /// As [`with_test`](Self::with_test); [`Error::OtherRank`] where a rank has other files.
    pub fn with_test_by(
        mut self,
        test: Arc<dyn ImageSource>,
        allowed: usize,
        reading: &mut FirstReading<'_>,
    ) -> Result<Self> {
        check_source(test.as_ref())?;
        let kind = |source: &dyn ImageSource| (source.channels(), source.size());
        let (found, expected) = (kind(test.as_ref()), kind(self.all.as_ref()));
        if found != expected {
            let reason = format!(
                "(channels, size) of the test images are {found:?}, of the training images {expected:?}"
            );
            return Err(Error::config("data", reason));
        }
        let test = Relabelled::new(test, self.all.classes())?;
        let survey = reading.survey(&test, &|_| false, Mean::Channel)?;
        let shared = self.survey.shared_with(&survey);
        if shared.len() > allowed {
            let reason = format!(
                "{} of {} test images are also among the training images, so a test on them measures \
                 nothing (data.allowed_overlap is the number of duplicates that are accepted): {}",
                shared.len(),
                test.len(),
                shared.named(&self.all, &test)
            );
            return Err(Error::config("data", reason));
        }
        self.remarks.extend(test.remarks());
        self.remarks.extend(survey.in_two_classes(&test).remark(&test));
        self.checksums.test = Some(survey.checksum(&test));
        self.test = Some(unchanged(Arc::new(test), &survey));
        Ok(self)
    }

    /// What a user should know about the images: which files were left out, which images are in two
    /// classes, of which classes nothing could be held out.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The description of the images, for a network and its weight files.
    pub fn info(&self) -> &DataInfo {
        &self.info
    }
}

/// The images of `source`, which must stay what the survey has found where they are read from files again.
fn unchanged(source: Arc<dyn ImageSource>, survey: &Survey) -> Arc<dyn ImageSource> {
    match source.listing() {
        Some(_) => Arc::new(Checked::new(source, survey)),
        None => source,
    }
}

/// What the split could not do: hold images of a class out, or train on one.
fn split_remarks(
    all: &dyn ImageSource,
    labels: &[usize],
    training: &[usize],
    validation: &[usize],
    fraction: f64,
) -> Vec<String> {
    let count = |indices: &[usize]| {
        let mut counts = vec![0_usize; all.classes().len()];
        indices.iter().for_each(|&index| counts[labels[index]] += 1);
        counts
    };
    let (trained, held_out, images) = (count(training), count(validation), class_counts(all));
    let mut remarks = Vec::new();
    let mut say = |classes: Vec<usize>, what: &str| {
        if classes.is_empty() {
            return;
        }
        let named =
            classes.iter().map(|&class| format!("{} (of {})", all.classes()[class], images[class]));
        remarks.push(format!("{what}: {}", first_ten(named, ", ", "more classes")));
    };
    let classes = 0..images.len();
    say(classes.clone().filter(|&class| trained[class] == 0).collect(), "no image to train on");
    if fraction > 0.0 {
        let without = |&class: &usize| images[class] > 0 && held_out[class] == 0;
        let what = format!("no image held out for validation (data.validation is {fraction})");
        say(classes.filter(without).collect(), &what);
    }
    remarks
}
