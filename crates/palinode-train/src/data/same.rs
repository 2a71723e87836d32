//! Images that occur twice.

use super::image_source::{ImageSource, image_len};
use crate::error::Result;
use palinode::wording::first_ten;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The images of a source, found again by their pixels.
#[derive(Clone, Debug)]
pub struct Known<S> {
    source: S,
    /// Different images may have the same hash.
    by_hash: HashMap<u64, Vec<usize>>,
}

/// Pairs of images with the same pixels: the index of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins(pub Vec<(usize, usize)>);

impl<S: ImageSource> Known<S> {
    /// Reads all images of `source`.
    ///
    /// # Errors
    /// As [`ImageSource::read`].
    pub fn new(source: S) -> Result<Self> {
        let mut image = vec![0; image_len(&source)];
        let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
        for index in 0..source.len() {
            source.read(index, &mut image)?;
            by_hash.entry(hash(&image)).or_default().push(index);
        }
        Ok(Self { source, by_hash })
    }

    /// The images of `other` that are, byte for byte, among these, whatever their classes: pairs (index
    /// here, index in `other`). A test on images that were trained on measures nothing.
    ///
    /// # Errors
    /// As [`ImageSource::read`].
    pub fn shared_with(&self, other: &dyn ImageSource) -> Result<Twins> {
        let mut pairs = Vec::new();
        if image_len(&self.source) != image_len(other) {
            return Ok(Twins(pairs));
        }
        let mut image = vec![0; image_len(other)];
        for index in 0..other.len() {
            other.read(index, &mut image)?;
            let found = self.find(&image)?;
            pairs.extend(found.map(|known| (known, index)));
        }
        Ok(Twins(pairs))
    }

    /// Images with the same pixels and different classes: pairs of indices, the lower one first. Of several such
    /// images in one class, the first is named.
    ///
    /// # Errors
    /// As [`ImageSource::read`].
    pub fn in_two_classes(&self) -> Result<Twins> {
        let mut pairs = Vec::new();
        let mut image = vec![0; image_len(&self.source)];
        for candidates in self.by_hash.values().filter(|candidates| candidates.len() > 1) {
            // One image of every content in every class: the first.
            let mut first: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
            for &index in candidates {
                self.source.read(index, &mut image)?;
                let label = self.source.label(index);
                let Some((_, images)) = first.iter_mut().find(|(content, _)| *content == image)
                else {
                    first.push((image.clone(), vec![index]));
                    continue;
                };
                if images.iter().all(|&other| self.source.label(other) != label) {
                    pairs.push((images[0], index));
                    images.push(index);
                }
            }
        }
        pairs.sort_unstable();
        Ok(Twins(pairs))
    }

    /// The first of these images with the bytes `image`.
    fn find(&self, image: &[u8]) -> Result<Option<usize>> {
        let candidates = self.by_hash.get(&hash(image)).into_iter().flatten();
        let mut other = vec![0; image.len()];
        for &candidate in candidates {
            self.source.read(candidate, &mut other)?;
            if other == image {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
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

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, SourceName, Split};

    #[test]
    fn the_same_images_are_counted_whatever_their_labels() {
        let source = SourceName::FashionMnistMini;
        let training = source.load(None, Split::Train).unwrap();
        let test = source.load(None, Split::Test).unwrap();
        let known = Known::new(&training).unwrap();
        assert!(known.shared_with(&test).unwrap().is_empty());
        let mut leaked = test.clone();
        leaked.images[..training.image_len()].copy_from_slice(training.image(17));
        assert_eq!(known.shared_with(&leaked).unwrap(), Twins(vec![(17, 0)]));
        let all = Known::new(&test).unwrap().shared_with(&test).unwrap();
        assert_eq!(all.len(), test.len());
        assert!(all.named(&test, &test).ends_with("image 9 = image 9, and 990 more"));
    }

    #[test]
    fn an_image_in_two_classes_is_named_with_its_twin() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let source = Dataset {
            names: ["a/1", "a/2", "b/1", "b/2"].map(str::to_owned).to_vec(),
            ..Dataset::new(vec![7, 7, 9, 7], vec![0, 0, 1, 1], 1, [1, 1], classes)
        };
        let twins = Known::new(&source).unwrap().in_two_classes().unwrap();
        assert_eq!(twins, Twins(vec![(0, 3)]), "two of one class are no pair");
        assert_eq!(twins.named(&source, &source), "a/1 = b/2");
    }
}
