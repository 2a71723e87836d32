//! Batches that several ranks compute together.

use crate::error::Error;
use crate::microbatch::Microbatches;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// The ranks that compute every batch together: processes on one or more machines, or threads.
///
/// All sums go through one binary tree. Its leaves are the ranks in their order, and two neighbours are added first. So
/// a sum is that of one rank with all images, bit for bit, if it goes by [`Microbatches`].
///
/// Every rank must call the same functions, in the same order, with as many numbers. Where a rank cannot be reached, the
/// implementation ends the process or panics: without it, there is nothing to go on with.
pub trait Ranks: Debug + Send + Sync {
    /// How many ranks there are: a power of two.
    fn count(&self) -> usize;

    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// Replaces `numbers` by their sums over all ranks.
    fn add(&self, numbers: &mut [f64]);

    /// [`add`](Self::add) in f32.
    fn add_f32(&self, numbers: &mut [f32]);

    /// Begins to replace gradients by their sums over all ranks, and returns at once. The computation goes on meanwhile.
    fn begin(&self, gradients: LeafGradients);

    /// Waits for all sums that have been [begun](Self::begin), and returns them in that order.
    fn finish(&self) -> Vec<LeafGradients>;
}

/// The gradients with respect to some leaves of the autodiff graph, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeafGradients {
    /// The leaves.
    pub leaves: Vec<Leaf>,
    /// Their gradients.
    pub numbers: Vec<f32>,
}

/// A leaf of the autodiff graph and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its number in the graph of this rank.
    pub id: u64,
    /// How many numbers its gradient has.
    pub length: usize,
    /// The sum of their bit patterns on this rank, modulo 2³², before they were added to those of others.
    pub bits: u32,
}

impl LeafGradients {
    /// Adds the gradient of a leaf.
    pub fn push(&mut self, id: u64, gradient: &[f32]) {
        self.leaves.push(Leaf { id, length: gradient.len(), bits: Leaf::bits_of(gradient) });
        self.numbers.extend_from_slice(gradient);
    }

    /// Every leaf with its gradient.
    pub fn iter(&self) -> impl Iterator<Item = (Leaf, &[f32])> {
        let mut rest = &self.numbers[..];
        self.leaves.iter().map(move |&leaf| {
            let (own, others) = rest.split_at(leaf.length);
            rest = others;
            (leaf, own)
        })
    }
}

impl Leaf {
    /// The sum of the bit patterns of a gradient.
    pub fn bits_of(gradient: &[f32]) -> u32 {
        gradient.iter().fold(0, |sum, number| sum.wrapping_add(number.to_bits()))
    }
}

/// One rank's share in a batch.
///
/// The ranks halve a batch again and again, as [`Microbatches`] do, so each has whole micro-batches.
#[derive(Clone, Debug)]
pub struct Share {
    ranks: Arc<dyn Ranks>,
    /// One part of the batch for each rank.
    parts: Microbatches,
    batch: usize,
}

impl Share {
    /// The share of the rank that `ranks` names, in a batch of `batch` images.
    ///
    /// # Errors
    /// [`Error::Ranks`] unless their number is a power of two and there is an image for each.
    pub fn new(ranks: Arc<dyn Ranks>, batch: usize) -> Result<Self, Error> {
        let count = ranks.count();
        match Microbatches::new(count) {
            Ok(parts) if count <= batch && ranks.rank() < count => Ok(Self { ranks, parts, batch }),
            _ => Err(Error::Ranks { ranks: count, of: "images", count: batch }),
        }
    }

    /// The ranks.
    pub fn ranks(&self) -> &dyn Ranks {
        self.ranks.as_ref()
    }

    /// The images of the whole batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Which images of the batch are those of this rank.
    pub fn images(&self) -> Range<usize> {
        self.parts.range(self.batch, self.ranks.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Number(usize, usize);

    impl Ranks for Number {
        fn count(&self) -> usize {
            self.1
        }
        fn rank(&self) -> usize {
            self.0
        }
        fn add(&self, _: &mut [f64]) {}
        fn add_f32(&self, _: &mut [f32]) {}
        fn begin(&self, _: LeafGradients) {}
        fn finish(&self) -> Vec<LeafGradients> {
            Vec::new()
        }
    }

    #[test]
    fn ranks_share_all_images_in_whole_micro_batches() {
        for (count, batch) in [(1, 5), (2, 5), (4, 19), (8, 8)] {
            let share = |rank| Share::new(Arc::new(Number(rank, count)), batch).unwrap().images();
            let shares: Vec<_> = (0..count).map(share).collect();
            assert_eq!((shares[0].start, shares[count - 1].end), (0, batch));
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            let sixteen = Microbatches::new(16).unwrap().sizes(batch);
            let own = 16 / count;
            for (rank, share) in shares.into_iter().enumerate() {
                let images: usize = sixteen[rank * own..(rank + 1) * own].iter().sum();
                assert_eq!(share.len(), images, "rank {rank} of {count}, {batch} images");
            }
        }
        for (count, batch) in [(3, 30), (4, 3), (0, 3)] {
            let message = Share::new(Arc::new(Number(0, count)), batch).unwrap_err().to_string();
            assert!(message.contains(&format!("{count} ranks")), "{message}");
        }
    }
}
