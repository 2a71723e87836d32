//! The division of a batch for sums over its images.

use crate::error::Error;
use std::ops::Range;

/// How sums over the images of a batch are taken: over its micro-batches by themselves, and then over these in one
/// binary tree.
///
/// The batch is halved again and again, and the first half takes the odd image. So the micro-batches of a half are those
/// of that half alone. Two machines that take a half each and add their results get the bits that one machine gets, if
/// the sums begin with zeros.
///
/// While sums are taken, the results of up to log₂ of their number wait to be added: so many times the memory of the
/// gradients that are summed.
///
/// ```
/// use palinode_kernels::Microbatches;
///
/// let eight = Microbatches::new(8)?;
/// assert_eq!(eight.sizes(19), [3, 2, 3, 2, 3, 2, 2, 2]);
/// assert_eq!(eight.half().map(|four| four.sizes(10)), Some(vec![3, 2, 3, 2]));
/// # Ok::<(), palinode_kernels::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Microbatches {
    halvings: u32,
}

impl Microbatches {
    /// The most that there can be.
    pub const MOST: usize = 1 << 16;

    /// One micro-batch: the whole batch.
    pub const ONE: Self = Self { halvings: 0 };

    /// `count` micro-batches.
    ///
    /// # Errors
    /// [`Error::Microbatches`] unless `count` is a power of two, 65,536 at the most.
    pub fn new(count: usize) -> Result<Self, Error> {
        if count.is_power_of_two() && count <= Self::MOST {
            return Ok(Self { halvings: count.ilog2() });
        }
        Err(Error::Microbatches { count })
    }

    /// How many they are.
    pub fn count(self) -> usize {
        1 << self.halvings
    }

    /// Those of one half of the batch; `None` if there is only one.
    pub fn half(self) -> Option<Self> {
        Some(Self { halvings: self.halvings.checked_sub(1)? })
    }

    /// Which of `images` images are those of micro-batch `number`; none if there is no such micro-batch.
    pub fn range(self, images: usize, number: usize) -> Range<usize> {
        let sizes = self.sizes(images);
        let first = sizes.iter().take(number).sum();
        first..first + sizes.get(number).copied().unwrap_or(0)
    }

    /// The images of every micro-batch of a batch of `images` images, in their order.
    pub fn sizes(self, images: usize) -> Vec<usize> {
        let mut sizes = Vec::with_capacity(self.count());
        tree(Some(self), 0..images, &mut |own| sizes.push(own.len()), &|(), ()| ());
        sizes
    }
}

/// The sum over the images of a batch: `of` gives that of some images in a row, `add` adds the sum over later images.
/// Without micro-batches it is `of` all images.
pub(crate) fn tree<T>(
    microbatches: Option<Microbatches>,
    images: Range<usize>,
    of: &mut impl FnMut(Range<usize>) -> T,
    add: &impl Fn(&mut T, T),
) -> T {
    let Some(half) = microbatches.and_then(Microbatches::half) else { return of(images) };
    let middle = images.start + images.len().div_ceil(2);
    let mut sum = tree(Some(half), images.start..middle, of, add);
    add(&mut sum, tree(Some(half), middle..images.end, of, add));
    sum
}

/// The chunks of a batch: how many images each has, and after which of them a micro-batch ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Images of every chunk.
    pub images: Vec<usize>,
    /// For every micro-batch, the number of chunks up to its end.
    pub ends: Vec<usize>,
}

impl Chunks {
    /// For sums over `images` images, `most` images at a time at the most.
    pub fn of(microbatches: Option<Microbatches>, images: usize, most: usize) -> Self {
        match microbatches {
            None => Self::of_whole(images, most),
            Some(own) => Self::of_micro(images, own, most),
        }
    }

    /// Of `images` images, `whole` at a time.
    pub fn of_whole(images: usize, whole: usize) -> Self {
        let whole = whole.max(1);
        let chunks = images.div_ceil(whole);
        let images = (0..chunks).map(|chunk| whole.min(images - chunk * whole)).collect();
        Self { images, ends: vec![chunks] }
    }

    /// Of the micro-batches of `images` images, `most` images at a time at the most, and chunks of a micro-batch of
    /// nearly the same size.
    pub fn of_micro(images: usize, microbatches: Microbatches, most: usize) -> Self {
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for size in microbatches.sizes(images) {
            let chunks = size.div_ceil(most.max(1));
            let even = size.div_ceil(chunks.max(1)).max(1);
            all.extend(Self::of_whole(size, even).images);
            ends.push(all.len());
        }
        Self { images: all, ends }
    }

    /// The most images of a chunk.
    pub fn largest(&self) -> usize {
        self.images.iter().copied().max().unwrap_or(0)
    }

    /// Slices of the chunks of an array with `length` numbers for every image of the batch.
    ///
    /// # Panics
    /// If the array is shorter. Kernels check the lengths of their arguments first.
    pub fn split<'a, T>(&self, array: &'a [T], length: usize) -> Vec<&'a [T]> {
        let mut rest = array;
        let take = |&images: &usize| {
            let (own, others) = rest.split_at(images * length);
            rest = others;
            own
        };
        self.images.iter().map(take).collect()
    }

    /// [`split`](Self::split) for an array that is changed.
    ///
    /// # Panics
    /// As [`split`](Self::split).
    pub fn split_mut<'a, T>(&self, array: &'a mut [T], length: usize) -> Vec<&'a mut [T]> {
        let mut rest = array;
        let take = |&images: &usize| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(images * length);
            rest = others;
            own
        };
        self.images.iter().map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn the_micro_batches_of_a_half_are_those_of_the_half_alone() {
        for halvings in 1..6 {
            let microbatches = Microbatches { halvings };
            let half = microbatches.half().unwrap();
            for images in 0..200_usize {
                let (first, second) = (images.div_ceil(2), images / 2);
                let sizes = microbatches.sizes(images);
                assert_eq!(sizes, [half.sizes(first), half.sizes(second)].concat());
                assert_eq!(sizes.iter().sum::<usize>(), images);
                assert_eq!(sizes.len(), microbatches.count());
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                assert!(most - least <= 1, "{sizes:?}");
            }
        }
        assert_eq!(Microbatches::new(1).unwrap().half(), None);
        for count in [0, 3, 12, 1 << 17] {
            assert!(Microbatches::new(count).is_err());
        }
    }

    #[test]
    fn trees_have_the_micro_batches_as_leaves() {
        let eight = Microbatches::new(8).unwrap();
        let leaves = RefCell::new(Vec::new());
        let mut of = |images: Range<usize>| {
            leaves.borrow_mut().push(images.len());
            images.map(|i| 1.0 / (1.0 + i as f32)).sum::<f32>()
        };
        let add = |sum: &mut f32, more| *sum += more;
        let whole = tree(Some(eight), 0..19, &mut of, &add);
        let half = eight.half();
        assert_eq!(whole, tree(half, 0..10, &mut of, &add) + tree(half, 10..19, &mut of, &add));
        assert_eq!(leaves.borrow()[..8], eight.sizes(19));
        assert_ne!(whole, tree(None, 0..19, &mut of, &add), "the order does not show");
    }

    #[test]
    fn chunks_end_where_micro_batches_end() {
        let chunks = Chunks::of_micro(19, Microbatches::new(4).unwrap(), 4);
        assert_eq!(chunks.images, [3, 2, 3, 2, 3, 2, 4]);
        assert_eq!(chunks.ends, [2, 4, 6, 7]);
        assert_eq!(chunks.largest(), 4);
        let few = Chunks::of_micro(2, Microbatches::new(4).unwrap(), 4);
        assert_eq!((few.images, few.ends), (vec![1, 1], vec![1, 1, 2, 2]));
        let whole = Chunks::of_whole(10, 4);
        assert_eq!((&whole.images[..], &whole.ends[..]), (&[4, 4, 2][..], &[3][..]));
        let mut numbers: Vec<usize> = (0..20).collect();
        assert_eq!(whole.split(&numbers, 2), [&numbers[..8], &numbers[8..16], &numbers[16..]]);
        assert_eq!(whole.split_mut(&mut numbers, 2)[2], [16, 17, 18, 19]);
    }
}
