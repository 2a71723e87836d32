//! Images that occur twice.

use super::digest::Digest;
use super::image_source::ImageSource;
use super::survey::Survey;
use palinode::wording::first_ten;
use std::collections::HashMap;

/// Pairs of images with the same pixels: the index of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins(pub Vec<(usize, usize)>);

impl Survey {
    /// The images of `other` that are, byte for byte, among these, whatever their classes: pairs (index
    /// here, index in `other`). Of several such images here, the first is named. A test on images that were trained on
    /// measures nothing.
    pub fn shared_with(&self, other: &Self) -> Twins {
        let mut first: HashMap<Digest, usize> = HashMap::with_capacity(self.len());
        for (index, &digest) in self.digests.iter().enumerate() {
            first.entry(digest).or_insert(index);
        }
        let twin = |(index, digest)| Some((*first.get(digest)?, index));
        Twins(other.digests.iter().enumerate().filter_map(twin).collect())
    }

    /// Images of `source`, which this is the survey of, with the same pixels and different classes: pairs of indices,
    /// the lower one first. Of several such images in one class, the first is named.
    ///
    /// # Panics
    /// If `source` has fewer images than were read.
    pub fn in_two_classes(&self, source: &dyn ImageSource) -> Twins {
        let mut pairs = Vec::new();
        // One image of every content in every class: the first.
        let mut first: HashMap<Digest, Vec<usize>> = HashMap::with_capacity(self.len());
        for (index, &digest) in self.digests.iter().enumerate() {
            let images = first.entry(digest).or_default();
            if images.iter().all(|&other| source.label(other) != source.label(index)) {
                pairs.extend(images.first().map(|&twin| (twin, index)));
                images.push(index);
            }
        }
        Twins(pairs)
    }
}

impl Twins {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a user should know of images in two classes of `source`; `None` where there are none.
    pub fn remark(&self, source: &dyn ImageSource) -> Option<String> {
        let named = (!self.is_empty()).then(|| self.named(source, source))?;
        Some(format!("the same image in two classes ({} times): {named}", self.len()))
    }

    /// The first ten pairs by the names of their images, the first of a pair in `first`.
    pub fn named(&self, first: &dyn ImageSource, second: &dyn ImageSource) -> String {
        let pair = |&(a, b): &(usize, usize)| format!("{} = {}", first.name(a), second.name(b));
        first_ten(self.0.iter().map(pair), ", ", "more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Mean, Split, mini};

    fn survey(source: &Dataset) -> Survey {
        Survey::of(source, Mean::Channel).unwrap()
    }

    #[test]
    fn the_same_images_are_counted_whatever_their_labels() {
        let [training, test] = [Split::Train, Split::Test].map(|split| mini::load(split).unwrap());
        let [known, all] = [&training, &test].map(survey);
        assert!(known.shared_with(&all).is_empty());
        let mut leaked = test.clone();
        leaked.images[..training.image_len()].copy_from_slice(training.image(17));
        assert_eq!(known.shared_with(&survey(&leaked)), Twins(vec![(17, 0)]));
        let twins = all.shared_with(&all);
        assert_eq!(twins.len(), test.len());
        assert!(twins.named(&test, &test).ends_with("image 9 = image 9, and 990 more"));
    }

    #[test]
    fn an_image_in_two_classes_is_named_with_its_twin() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let source = Dataset {
            names: ["a/1", "a/2", "b/1", "b/2"].map(str::to_owned).to_vec(),
            ..Dataset::new(vec![7, 7, 9, 7], vec![0, 0, 1, 1], 1, [1, 1], classes)
        };
        let twins = survey(&source).in_two_classes(&source);
        assert_eq!(twins, Twins(vec![(0, 3)]), "two of one class are no pair");
        assert_eq!(twins.named(&source, &source), "a/1 = b/2");
    }
}
