//! Chunks of a batch on threads, with sums in an order that does not depend on them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Calls `work(scratch, index, chunk)` for every chunk, on all threads of the current Rayon pool;
/// `scratch` is made once per thread, all of it by the caller: a thread's own allocations would stay
/// with it, one heap a thread.
///
/// Chunks begin in their order, so one may wait for what an earlier one [commits](Ordered::commit).
pub(crate) fn for_each_chunk<T: Send, W: Send>(
    chunks: Vec<T>,
    scratch: impl Fn() -> W,
    work: impl Fn(&mut W, usize, T) + Sync,
) {
    if rayon::current_num_threads() == 1 || chunks.len() == 1 {
        let mut scratch = scratch();
        let chunks = chunks.into_iter().enumerate();
        chunks.for_each(|(index, chunk)| work(&mut scratch, index, chunk));
        return;
    }
    let count = chunks.len();
    let threads = rayon::current_num_threads().min(count);
    let scratches = Mutex::new((0..threads).map(|_| scratch()).collect::<Vec<_>>());
    let next = AtomicUsize::new(0);
    let chunks: Vec<Mutex<Option<T>>> =
        chunks.into_iter().map(|chunk| Mutex::new(Some(chunk))).collect();
    rayon::broadcast(|_| {
        let Some(mut scratch) = lock(&scratches).pop() else { return };
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            if let Some(chunk) = lock(&chunks[index]).take() {
                work(&mut scratch, index, chunk);
            }
        }
        // Given back, to be freed by the caller too.
        lock(&scratches).push(scratch);
    });
}

/// Sums, one per slot, whose terms are added in the order of their chunks.
pub(crate) struct Ordered<'a> {
    slots: Vec<(Mutex<Slot<'a>>, Condvar)>,
}

struct Slot<'a> {
    /// The chunk whose turn it is.
    next: usize,
    sums: Vec<&'a mut [f32]>,
}

impl<'a> Ordered<'a> {
    /// Slots of a few arrays each, which begin with what is there.
    pub fn new(slots: impl IntoIterator<Item = Vec<&'a mut [f32]>>) -> Self {
        let slot = |sums| (Mutex::new(Slot { next: 0, sums }), Condvar::new());
        Self { slots: slots.into_iter().map(slot).collect() }
    }

    /// Adds chunk `chunk`'s term, the arrays' behind each other, to slot `slot`, after those of all
    /// earlier chunks.
    ///
    /// Every chunk must commit to every slot once.
    pub fn commit(&self, slot: usize, chunk: usize, term: &[f32]) {
        let (mutex, turn) = &self.slots[slot];
        let mut slot = lock(mutex);
        while slot.next != chunk {
            slot = turn.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        let mut rest = term;
        for sums in &mut slot.sums {
            let (own, others) = rest.split_at(sums.len());
            sums.iter_mut().zip(own).for_each(|(sum, term)| *sum += term);
            rest = others;
        }
        slot.next += 1;
        turn.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
