//! Chunks of a batch on threads, with sums in an order that does not depend on the threads.

use crate::context::Context;
use crate::scratch::{Arena, Lent};
use crate::token::Token;
use bytemuck::Zeroable;
use std::any::Any;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A computation that goes through a batch chunk by chunk.
pub(crate) trait Work: Sync {
    /// What is computed at a time, for instance a few images and the place of their results.
    type Chunk: Send;

    /// One thread's working memory, used again for every chunk.
    type Memory<'m>;

    /// Carves a thread's memory. The arrays may be empty yet: see [`Arena::zeros`].
    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Self::Memory<'m>;

    /// Computes chunk number `index`.
    fn run(&self, token: Token, memory: &mut Self::Memory<'_>, index: usize, chunk: Self::Chunk);

    /// Called when a chunk has panicked: wakes the chunks that wait for its [commit](Ordered::commit).
    fn abandon(&self) {}
}

/// Runs `work` on every chunk, on all threads of the context.
///
/// Chunks begin in their order, so one may wait for what an earlier one [commits](Ordered::commit).
///
/// # Panics
/// If a chunk panics, with the panic of the first that did; no further chunks begin.
pub(crate) fn for_each_chunk<W: Work>(context: &Context, work: &W, chunks: Vec<W::Chunk>) {
    if chunks.is_empty() {
        return;
    }
    context.install(|| {
        let lend = || context.scratch().lend(|arena| work.memory(arena));
        let threads = rayon::current_num_threads().min(chunks.len());
        if threads <= 1 {
            let mut slab = lend();
            let mut memory = work.memory(&mut slab.arena());
            for (index, chunk) in chunks.into_iter().enumerate() {
                work.run(context.token(), &mut memory, index, chunk);
            }
        } else {
            let slabs = (0..threads).map(|_| lend()).collect();
            share_out(context.token(), work, chunks, slabs);
        }
    });
}

/// Bytes of working memory that [`for_each_chunk`] lends for `chunks` chunks, on all threads.
pub(crate) fn bytes_for<W: Work>(context: &Context, work: &W, chunks: usize) -> usize {
    context.threads().min(chunks) * Arena::bytes_of(|arena| work.memory(arena))
}

/// [`for_each_chunk`] with one thread for every slab.
fn share_out<W: Work>(token: Token, work: &W, chunks: Vec<W::Chunk>, slabs: Vec<Lent<'_>>) {
    let slabs = Mutex::new(slabs);
    let chunks = Mutex::new(chunks.into_iter().enumerate());
    let panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
    let stopped = AtomicBool::new(false);
    rayon::broadcast(|_| {
        let Some(mut slab) = lock(&slabs).pop() else { return };
        let mut memory = work.memory(&mut slab.arena());
        while !stopped.load(Ordering::Relaxed) {
            let Some((index, chunk)) = lock(&chunks).next() else { break };
            let run = AssertUnwindSafe(|| work.run(token, &mut memory, index, chunk));
            if let Err(payload) = catch_unwind(run) {
                // The first is the cause; those that waited for it follow.
                lock(&panic).get_or_insert(payload);
                stopped.store(true, Ordering::Relaxed);
                work.abandon();
            }
        }
    });
    if let Some(payload) = lock(&panic).take() {
        resume_unwind(payload);
    }
}

/// Sums, `ARRAYS` arrays per slot, whose terms are added in the order of their chunks. The sums of micro-batches are
/// added in a binary tree.
pub(crate) struct Ordered<'a, const ARRAYS: usize, N = f32> {
    slots: Vec<(Mutex<Slot<'a, ARRAYS, N>>, Condvar)>,
    /// For every micro-batch, the number of chunks up to its end; empty if there is one alone.
    ends: Vec<usize>,
    /// A chunk has panicked, so the turn of the later ones never comes.
    abandoned: AtomicBool,
}

struct Slot<'a, const ARRAYS: usize, N> {
    /// The chunk whose turn it is.
    next: usize,
    /// Of the micro-batch at work.
    sums: [&'a mut [N]; ARRAYS],
    /// Micro-batches that are finished.
    finished: usize,
    /// Their sums: 2^k micro-batches in one array, with k; no two with the same k, and the largest first.
    subtrees: Vec<(u32, Vec<N>)>,
}

impl<const ARRAYS: usize, N: Copy + AddAssign + Zeroable> Slot<'_, ARRAYS, N> {
    /// Adds `term` to the sums of the micro-batch at work.
    fn add(&mut self, term: &[N]) {
        let mut rest = term;
        for sums in &mut self.sums {
            let (own, others) = rest.split_at(sums.len());
            add(sums, own);
            rest = others;
        }
    }

    /// After a chunk: begins the next micro-batch where one ends, and adds them all after the last.
    fn advance(&mut self, ends: &[usize]) {
        self.next += 1;
        while ends.get(self.finished) == Some(&self.next) {
            self.finished += 1;
            if self.finished < ends.len() {
                self.close();
                continue;
            }
            while let Some((_, subtree)) = self.subtrees.pop() {
                self.add(&subtree);
            }
        }
    }

    /// Makes the sums of the micro-batch at work a leaf of the tree.
    fn close(&mut self) {
        let mut sum = Vec::with_capacity(self.sums.iter().map(|sums| sums.len()).sum());
        for sums in &mut self.sums {
            sum.extend_from_slice(sums);
            sums.fill(N::zeroed());
        }
        let mut height = 0;
        while let Some((_, mut subtree)) = self.subtrees.pop_if(|(own, _)| *own == height) {
            add(&mut subtree, &sum);
            (sum, height) = (subtree, height + 1);
        }
        self.subtrees.push((height, sum));
    }
}

/// Adds `terms` to `sums`, number by number.
pub(crate) fn add<N: Copy + AddAssign>(sums: &mut [N], terms: &[N]) {
    sums.iter_mut().zip(terms).for_each(|(sum, &term)| *sum += term);
}

impl<'a, const ARRAYS: usize, N: Copy + AddAssign + Zeroable> Ordered<'a, ARRAYS, N> {
    /// The sums begin with what the arrays hold.
    pub fn new(slots: impl IntoIterator<Item = [&'a mut [N]; ARRAYS]>) -> Self {
        let slot = |sums| {
            let slot = Slot { next: 0, sums, finished: 0, subtrees: Vec::new() };
            (Mutex::new(slot), Condvar::new())
        };
        let slots = slots.into_iter().map(slot).collect();
        Self { slots, ends: Vec::new(), abandoned: AtomicBool::new(false) }
    }

    /// The same for chunks of several micro-batches. `ends` has the number of chunks up to the end of each.
    pub fn in_microbatches(self, ends: &[usize]) -> Self {
        let ends = if ends.len() > 1 { ends.to_vec() } else { Vec::new() };
        Self { ends, ..self }
    }

    /// Adds a chunk's term to slot `slot`, after the terms of all earlier chunks. The term holds the
    /// slot's arrays one behind the other.
    ///
    /// Every chunk must commit to every slot once.
    ///
    /// # Panics
    /// With [`Abandoned`], if an earlier chunk has panicked.
    pub fn commit(&self, slot: usize, chunk: usize, term: &[N]) {
        let (mutex, turn) = &self.slots[slot];
        let mut slot = lock(mutex);
        while slot.next != chunk {
            if self.abandoned.load(Ordering::Relaxed) {
                drop(slot);
                resume_unwind(Box::new(Abandoned));
            }
            slot = turn.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        slot.add(term);
        slot.advance(&self.ends);
        turn.notify_all();
    }

    /// Wakes all chunks that wait for one that has panicked.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        for (mutex, turn) in &self.slots {
            // With the lock held, no chunk is between reading the flag and waiting.
            drop(lock(mutex));
            turn.notify_all();
        }
    }
}

/// The panic of a chunk that waited for one that has panicked.
struct Abandoned;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;
    use std::thread::{sleep, spawn};
    use std::time::Duration;

    /// Adds 1/(chunk + 1) to a sum; chunk `faulty` panics.
    struct Harmonic<'a> {
        sums: Ordered<'a, 1>,
        faulty: Option<usize>,
        begun: AtomicUsize,
    }

    impl Work for Harmonic<'_> {
        type Chunk = f32;
        type Memory<'m> = &'m mut [f32];

        fn memory<'m>(&self, arena: &mut Arena<'m>) -> &'m mut [f32] {
            arena.zeros(1)
        }

        fn run(&self, _: Token, memory: &mut &mut [f32], index: usize, chunk: f32) {
            self.begun.fetch_add(1, Ordering::Relaxed);
            if self.faulty == Some(index) {
                // Long enough for others to wait for this one's commit.
                sleep(Duration::from_millis(50));
                panic!("chunk {index} is faulty");
            }
            memory[0] = 1.0 / (chunk + 1.0);
            self.sums.commit(0, index, memory);
        }

        fn abandon(&self) {
            self.sums.abandon();
        }
    }

    const CHUNKS: usize = 1000;

    fn sum(threads: usize, faulty: Option<usize>) -> (f32, usize) {
        let context = Context::builder().threads(threads).build().unwrap();
        let mut sum = [0.0];
        let sums = Ordered::new([[&mut sum[..]]]);
        let work = Harmonic { sums, faulty, begun: AtomicUsize::new(0) };
        for_each_chunk(&context, &work, (0..CHUNKS).map(|chunk| chunk as f32).collect());
        let begun = work.begun.into_inner();
        (sum[0], begun)
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_threads() {
        let forward = (0..CHUNKS).fold(0.0, |sum, chunk| sum + 1.0 / (chunk as f32 + 1.0));
        for threads in 1..5 {
            assert_eq!(sum(threads, None), (forward, CHUNKS));
        }
    }

    #[test]
    fn micro_batches_are_added_in_a_tree() {
        // Sums of f32 whose rounding shows the order.
        let terms: Vec<f32> = (0..13_u8).map(|i| 1.0 + f32::from(i).sin() * 1e-3).collect();
        let tree = |ends: &[usize], terms: &[f32]| {
            let mut sum = [0.0_f32];
            let sums = Ordered::new([[&mut sum[..]]]).in_microbatches(ends);
            terms.iter().enumerate().for_each(|(chunk, &term)| sums.commit(0, chunk, &[term]));
            drop(sums);
            sum[0]
        };
        let chain = |terms: &[f32]| terms.iter().fold(0.0, |sum: f32, term| sum + term);
        let [a, b, c, d] = [&terms[..4], &terms[4..7], &terms[7..10], &terms[10..]].map(chain);
        let found = tree(&[4, 7, 10, 13], &terms);
        assert_eq!(found, (a + b) + (c + d));
        assert_ne!(found, chain(&terms), "the order does not show");
        // Two halves by themselves, added.
        assert_eq!(found, tree(&[4, 7], &terms[..7]) + tree(&[3, 6], &terms[7..]));
        assert_eq!(tree(&[13], &terms), chain(&terms));
        // Empty ones at the end of each half.
        assert_eq!(tree(&[1, 1, 2, 2], &terms[..2]), terms[0] + terms[1]);
    }

    #[test]
    fn a_panic_reaches_the_caller_at_once() {
        for threads in [1, 2, 4] {
            for faulty in [0, 1, 500, CHUNKS - 1] {
                let (report, result) = channel();
                spawn(move || {
                    let caught = catch_unwind(|| sum(threads, Some(faulty)));
                    report.send(caught.map_err(|payload| payload.downcast::<String>())).unwrap();
                });
                let result = result.recv_timeout(Duration::from_secs(1));
                let payload = result.expect("the caller waits for ever").unwrap_err();
                let message = payload.expect("the panic is another one");
                assert_eq!(*message, format!("chunk {faulty} is faulty"), "{threads} threads");
            }
        }
    }
}
