//! Images that two parts of a data set have in common.

use super::dataset::Dataset;
use std::collections::HashSet;

/// How many images of `test` are, byte for byte, also in `training`.
///
/// A test part that was trained on says nothing: the report's own public code trains and tests on the
/// same images.
pub fn overlap(training: &Dataset, test: &Dataset) -> usize {
    let known: HashSet<&[u8]> = (0..training.len()).map(|index| training.image(index)).collect();
    (0..test.len()).filter(|&index| known.contains(test.image(index))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SourceName, Split};

    #[test]
    fn the_same_images_are_counted_whatever_their_labels() {
        let source = SourceName::FashionMnistMini;
        let training = source.load(None, Split::Train).unwrap();
        let test = source.load(None, Split::Test).unwrap();
        assert_eq!(overlap(&training, &test), 0);
        let mut leaked = test.clone();
        leaked.images[..training.image_len()].copy_from_slice(training.image(17));
        assert_eq!(overlap(&training, &leaked), 1);
        assert_eq!(overlap(&test, &test), test.len());
    }
}
