//! Batches that several ranks compute together.

use crate::error::Error;
use crate::microbatch::Microbatches;
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    within: Within,
    step: Arc<Mutex<Step>>,
}

/// Where gradients of parameters are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// In the network's own graph.
    Graph,
    /// In a graph of its own within a node, which sends the sums of what is found there to other ranks by itself.
    Node {
        /// Whether each parameter is met once.
        once: bool,
    },
}

/// What becomes of the gradients of a node's parameters over the images of one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They begin to be added to those of other ranks.
    HandOver,
    /// They stay as they are: another node will hand them over.
    Leave,
    /// They are [completed](crate::Context::complete) at once, since others are added to them on this rank first.
    Complete,
}

/// What is known of a step between its forward pass and its end.
#[derive(Debug, Default)]
struct Step {
    /// How often each leaf of the graph is used.
    uses: HashMap<u64, usize>,
    later: Vec<Later>,
}

/// Sums that are completed at the end of a step, and what then becomes of them.
struct Later {
    sums: Vec<f32>,
    then: Then,
}

type Then = Box<dyn FnOnce(&[f32]) + Send>;

impl Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sums", self.sums.len())
    }
}

impl Share {
    /// The share of the rank that `ranks` names, in a batch of `batch` images.
    ///
    /// # Errors
    /// [`Error::Ranks`] unless their number is a power of two and there is an image for each.
    pub fn new(ranks: Arc<dyn Ranks>, batch: usize) -> Result<Self, Error> {
        let count = ranks.count();
        match Microbatches::new(count) {
            Ok(parts) if count <= batch && ranks.rank() < count => {
                Ok(Self { ranks, parts, batch, within: Within::Graph, step: Arc::default() })
            }
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

    /// The same share inside a node of the graph that sends the gradients of its parameters to other ranks by itself. `once`
    /// says that the node meets each parameter once.
    #[must_use]
    pub fn within_node(&self, once: bool) -> Self {
        Self { within: Within::Node { once }, ..self.clone() }
    }

    /// Counts a use of some leaves of the graph. Forward passes call it.
    pub fn count_uses(&self, leaves: impl IntoIterator<Item = u64>) {
        let mut step = self.step();
        leaves.into_iter().for_each(|leaf| *step.uses.entry(leaf).or_default() += 1);
    }

    /// What becomes of the gradients of some leaves, which a node has found.
    pub fn fate(&self, mut leaves: impl Iterator<Item = u64>) -> Fate {
        let step = self.step();
        let used_once = leaves.all(|leaf| step.uses.get(&leaf) == Some(&1));
        match self.within {
            Within::Graph if used_once => Fate::HandOver,
            Within::Node { once: true } if used_once => Fate::Leave,
            _ => Fate::Complete,
        }
    }

    /// Gives `then` the sums over all ranks of numbers like `sums` when the step [ends](Self::end_step). All ranks
    /// must do so in the same order.
    pub fn complete_later(&self, sums: Vec<f32>, then: impl FnOnce(&[f32]) + Send + 'static) {
        self.step().later.push(Later { sums, then: Box::new(then) });
    }

    /// Ends the passes of a step: adds up over all ranks what was to be completed [later](Self::complete_later), in one
    /// message, and forgets the uses of leaves. All ranks call this together.
    pub fn end_step(&self) {
        let Step { later, .. } = std::mem::take(&mut *self.step());
        if later.is_empty() {
            return;
        }
        let mut all: Vec<f32> = later.iter().flat_map(|later| &later.sums).copied().collect();
        self.ranks.add_f32(&mut all);
        let mut rest = &all[..];
        for Later { sums, then } in later {
            let (sums, others) = rest.split_at(sums.len());
            then(sums);
            rest = others;
        }
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn what_is_completed_later_keeps_its_place() {
        let share = Share::new(Arc::new(Number(0, 1)), 5).unwrap();
        let found = Arc::new(Mutex::new(Vec::new()));
        for sums in [vec![1.0, 2.0], vec![], vec![3.0]] {
            let found = Arc::clone(&found);
            share
                .clone()
                .complete_later(sums, move |sums| found.lock().unwrap().push(sums.to_vec()));
        }
        share.end_step();
        share.end_step();
        assert_eq!(*found.lock().unwrap(), [vec![1.0, 2.0], vec![], vec![3.0]]);
    }

    #[test]
    fn gradients_of_leaves_with_one_use_are_not_waited_for() {
        let share = Share::new(Arc::new(Number(0, 1)), 5).unwrap();
        share.count_uses([7, 8]);
        share.clone().count_uses([8]);
        let fate = |share: &Share, leaves: &[u64]| share.fate(leaves.iter().copied());
        assert_eq!(fate(&share, &[7]), Fate::HandOver);
        for leaves in [&[8][..], &[7, 8], &[9]] {
            assert_eq!(fate(&share, leaves), Fate::Complete, "{leaves:?}");
        }
        assert_eq!(fate(&share.within_node(true), &[7]), Fate::Leave);
        assert_eq!(fate(&share.within_node(true), &[8]), Fate::Complete);
        assert_eq!(fate(&share.within_node(false), &[7]), Fate::Complete);
        share.end_step();
        assert_eq!(fate(&share, &[7]), Fate::Complete, "another step");
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
