//! Sums over all ranks.

use super::link::{Channel, Link};
use super::sum::{Number, Sent, add};
use super::traffic::Traffic;
use crate::error::{Error, Result};
use palinode_kernels::{LeafGradients, Microbatches, Ranks};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The ranks that train together, as seen from one of them.
///
/// Sums go through one binary tree whose leaves are the ranks in their order. In round l = 0, 1, … each rank exchanges with
/// the rank whose number differs in bit l, and adds (recursive doubling). Of a long buffer, the two exchange halves: each
/// adds one half, the next round goes on with that, and in the end the sums are gathered the same way back (recursive
/// halving). The additions are the same in both, so are the bits.
///
/// Gradients are added by a thread of their own while the computation goes on.
#[derive(Debug)]
pub struct Group {
    link: Arc<dyn Link>,
    parts: Microbatches,
    background: Mutex<Background>,
    traffic: Arc<Mutex<Traffic>>,
}

/// The thread that adds gradients.
#[derive(Debug)]
struct Background {
    /// None once the group is dropped.
    begun: Option<Sender<LeafGradients>>,
    finished: Receiver<LeafGradients>,
    /// Buffers that have been begun and not been taken.
    open: usize,
    worker: Option<JoinHandle<()>>,
}

impl Group {
    /// The group of all ranks of `link`.
    ///
    /// # Errors
    /// [`Error::Config`] unless their number is a power of two.
    pub fn new(link: impl Link + 'static) -> Result<Self> {
        let ranks = link.count();
        let refused = |_| {
            let most = Microbatches::MOST;
            let reason =
                format!("{ranks}; their number must be a power of two, {most} at the most");
            Error::config("ranks", reason)
        };
        let parts = Microbatches::new(ranks).map_err(refused)?;
        let link: Arc<dyn Link> = Arc::new(link);
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let (begun, to_add) = channel::<LeafGradients>();
        let (added, finished) = channel();
        let (own_link, own_traffic) = (Arc::clone(&link), Arc::clone(&traffic));
        let worker = thread::spawn(move || {
            for mut gradients in to_add {
                let since = Instant::now();
                let sent = add(own_link.as_ref(), Channel::Gradients, &mut gradients.numbers);
                let mut traffic = locked(&own_traffic);
                traffic.gradient_bytes += sent.bytes;
                traffic.messages += sent.messages;
                traffic.sending += since.elapsed();
                drop(traffic);
                if added.send(gradients).is_err() {
                    return;
                }
            }
        });
        let background = Background { begun: Some(begun), finished, open: 0, worker: Some(worker) };
        Ok(Self { link, parts, background: Mutex::new(background), traffic })
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        self.link.count()
    }

    /// Which one this is, from 0.
    pub fn rank(&self) -> usize {
        self.link.rank()
    }

    /// How a batch is divided among the ranks: into one part each.
    pub fn parts(&self) -> Microbatches {
        self.parts
    }

    /// What every rank gives, by rank. All ranks call this together.
    pub fn gather(&self, own: &[u8]) -> Vec<Vec<u8>> {
        let mut lengths = vec![0.0; self.count()];
        lengths[self.rank()] = own.len() as f64;
        self.add(&mut lengths);
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
        let mut known = vec![Vec::new(); self.count()];
        known[self.rank()] = own.to_vec();
        let mut width = 1;
        while width < self.count() {
            let partner = self.rank() ^ width;
            let block = |rank: usize| rank / width * width..(rank / width + 1) * width;
            let out = known[block(self.rank())].concat();
            let theirs = lengths[block(partner)].iter().sum();
            let mut into = vec![0; theirs];
            let since = Instant::now();
            self.link.exchange(partner, Channel::Sums, &out, &mut into);
            self.waited(since, Sent { bytes: out.len() as u64, messages: 1 });
            let mut rest = &into[..];
            for rank in block(partner) {
                let (first, others) = rest.split_at(lengths[rank]);
                (known[rank], rest) = (first.to_vec(), others);
            }
            width *= 2;
        }
        known
    }

    /// What rank 0 gives, on all ranks. `own` is asked on rank 0 alone.
    pub fn of_first(&self, own: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let own = if self.rank() == 0 { own() } else { Vec::new() };
        self.gather(&own).swap_remove(0)
    }

    /// What has been sent since the last call.
    pub fn traffic(&self) -> Traffic {
        std::mem::take(&mut *locked(&self.traffic))
    }

    fn add_at_once<T: Number>(&self, numbers: &mut [T]) {
        let since = Instant::now();
        let sent = add(self.link.as_ref(), Channel::Sums, numbers);
        self.waited(since, sent);
    }

    /// Counts messages that the computation has waited for.
    fn waited(&self, since: Instant, sent: Sent) {
        let mut traffic = locked(&self.traffic);
        traffic.sum_bytes += sent.bytes;
        traffic.messages += sent.messages;
        traffic.waiting_for_sums += since.elapsed();
    }

    /// The background thread's state. (A panic elsewhere leaves it whole.)
    fn background(&self) -> MutexGuard<'_, Background> {
        locked(&self.background)
    }
}

impl Ranks for Group {
    fn count(&self) -> usize {
        self.link.count()
    }

    fn rank(&self) -> usize {
        self.link.rank()
    }

    fn add(&self, numbers: &mut [f64]) {
        self.add_at_once(numbers);
    }

    fn add_f32(&self, numbers: &mut [f32]) {
        self.add_at_once(numbers);
    }

    fn begin(&self, gradients: LeafGradients) {
        let mut background = self.background();
        let sent = background.begun.as_ref().map(|begun| begun.send(gradients));
        assert!(matches!(sent, Some(Ok(()))), "{GONE}");
        background.open += 1;
    }

    fn finish(&self) -> Vec<LeafGradients> {
        let since = Instant::now();
        let mut background = self.background();
        let open = std::mem::take(&mut background.open);
        let found = (0..open).map(|_| background.finished.recv().expect(GONE)).collect();
        locked(&self.traffic).waiting_for_gradients += since.elapsed();
        found
    }
}

/// What a panic says where the thread that adds gradients has panicked before.
const GONE: &str = "another rank is gone, so gradients cannot be added";

impl Drop for Group {
    fn drop(&mut self) {
        let mut background = self.background();
        background.begun = None;
        if let Some(worker) = background.worker.take() {
            // Its panic has been seen where gradients were waited for.
            worker.join().ok();
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::sum::HALVED;
    use super::super::threads::links;
    use super::*;

    /// What `work` gives on each of `count` ranks.
    fn on_ranks<T: Send>(count: usize, work: impl Fn(&Group) -> T + Sync) -> Vec<T> {
        let groups: Vec<Group> =
            links(count).into_iter().map(|link| Group::new(link).unwrap()).collect();
        thread::scope(|threads| {
            let work = &work;
            let spawned: Vec<_> =
                groups.into_iter().map(|group| threads.spawn(move || work(&group))).collect();
            spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn numbers(rank: usize, count: usize) -> Vec<f32> {
        (0..count).map(|i| (1 + i % 97) as f32 / (3.0 + (7 * rank + i % 13) as f32)).collect()
    }

    /// The sum by the tree, without messages.
    fn tree(ranks: std::ops::Range<usize>, count: usize) -> Vec<f32> {
        if ranks.len() == 1 {
            return numbers(ranks.start, count);
        }
        let middle = usize::midpoint(ranks.start, ranks.end);
        let (first, second) = (tree(ranks.start..middle, count), tree(middle..ranks.end, count));
        first.into_iter().zip(second).map(|(a, b)| a + b).collect()
    }

    #[test]
    fn sums_go_through_one_tree_whether_halved_or_not() {
        for count in [1, 2, 4, 8] {
            for length in [0, 1, 7, HALVED - 1, HALVED, 5 * HALVED + 3] {
                let found = on_ranks(count, |group| {
                    let mut wide: Vec<f64> =
                        numbers(group.rank(), length).iter().map(|&x| f64::from(x)).collect();
                    for first in [0, length] {
                        let mut gradients = LeafGradients::default();
                        gradients.push(7, &numbers(group.rank(), first));
                        group.begin(gradients);
                    }
                    group.add(&mut wide);
                    let [empty, sums] = group.finish().try_into().unwrap();
                    assert!(empty.numbers.is_empty() && group.finish().is_empty());
                    (sums, wide, group.traffic())
                });
                let expected = tree(0..count, length);
                for (sums, wide, traffic) in &found {
                    assert_eq!((sums.leaves[0].id, sums.leaves[0].length), (7, length));
                    assert_eq!(sums.numbers, expected, "{count} ranks, {length} numbers");
                    assert_eq!(*wide, found[0].1);
                    let near = wide
                        .iter()
                        .zip(&expected)
                        .all(|(w, e)| (w / f64::from(*e) - 1.0).abs() < 1e-6);
                    assert!(near);
                    // At most once the buffer in every round, and at most twice in all if it is halved.
                    let rounds = f64::from(count.ilog2());
                    let most = if length < HALVED { rounds } else { rounds.min(2.0) };
                    assert!(traffic.gradient_bytes as f64 <= 4.0 * most * (length + 8) as f64);
                }
            }
        }
    }

    #[test]
    fn every_rank_gets_what_the_others_give() {
        for count in [1, 2, 4, 8] {
            let own = |rank: usize| vec![rank as u8; 3 * rank % 7];
            let expected: Vec<_> = (0..count).map(own).collect();
            for (all, first) in on_ranks(count, |group| {
                (group.gather(&own(group.rank())), group.of_first(|| b"config".to_vec()))
            }) {
                assert_eq!((&all, &first[..]), (&expected, &b"config"[..]));
            }
        }
    }

    #[test]
    fn other_numbers_of_ranks_and_missing_ranks_are_errors() {
        let message = links(3).into_iter().map(Group::new).next().unwrap().unwrap_err().to_string();
        assert!(message.starts_with("ranks: 3; their number"), "{message}");
        let mut links = links(2);
        let (second, first) = (links.pop(), links.pop().unwrap());
        let group = Group::new(first).unwrap();
        let waiting = thread::spawn(move || group.add(&mut [1.0]));
        drop(second);
        assert!(waiting.join().is_err(), "a rank that is gone was waited for");
    }
}
