//! Images that must stay what they were.

use super::digest::Digest;
use super::image_source::{ImageSource, delegated};
use super::survey::Survey;
use crate::error::{Error, Result};

/// The images of another source. One that is not what it was when it was first read is an error.
#[derive(Clone, Debug)]
pub struct Checked<S> {
    source: S,
    digests: Vec<Digest>,
}

impl<S: ImageSource> Checked<S> {
    /// The images of `source`, as `survey` has found them.
    pub fn new(source: S, survey: &Survey) -> Self {
        Self { source, digests: survey.digests.clone() }
    }
}

impl<S: ImageSource> ImageSource for Checked<S> {
    delegated!(|own| own.source => len channels size padding background classes label name remarks listing);
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        self.source.read(index, into)?;
        match self.digests.get(index) {
            Some(digest) if *digest == Digest::of(into) => Ok(()),
            _ => {
                let reason = "is not the picture any more that it was when it was first read";
                Err(Error::config(self.name(index), reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Mean};

    #[test]
    fn an_image_that_has_changed_is_named() {
        let images = Dataset {
            names: vec!["first".to_owned(), "second".to_owned()],
            ..Dataset::new(vec![1, 2, 3, 4], vec![0, 0], 1, [1, 2], vec!["a".to_owned()])
        };
        let survey = Survey::of(&images, Mean::Channel).unwrap();
        let mut into = [0; 2];
        Checked::new(&images, &survey).read(1, &mut into).unwrap();
        assert_eq!(into, [3, 4]);
        let mut changed = images;
        changed.images[3] = 5;
        let checked = Checked::new(&changed, &survey);
        checked.read(0, &mut into).unwrap();
        let message = checked.read(1, &mut into).unwrap_err().to_string();
        assert!(message.starts_with("second: is not the picture any more"), "{message}");
    }
}
