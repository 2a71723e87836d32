//! Working memory that is used again from call to call.
//!
//! A call takes one slab for every thread at work and carves arrays out of it with an [`Arena`]. How
//! large a slab must be is found by carving the same arrays out of an arena that only counts.

use bytemuck::allocation::zeroed_slice_box;
use bytemuck::{Pod, Zeroable, cast_slice_mut};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A cache line. Slabs consist of whole lines, so that every array begins on a 64-byte boundary.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Slabs of working memory. It never holds more than was in use at one time before.
#[derive(Default)]
pub(crate) struct Scratch {
    slabs: Mutex<Slabs>,
}

/// Sizes in lines.
#[derive(Default)]
struct Slabs {
    free: Vec<Box<[Line]>>,
    in_use: usize,
    most_in_use: usize,
}

impl Scratch {
    /// A slab for the arrays that `carve` takes out of an arena: the smallest free one that holds them,
    /// or a new one in the place of the largest free one.
    pub fn lend<T>(&self, carve: impl FnOnce(&mut Arena<'static>) -> T) -> Lent<'_> {
        let mut counter = Arena { rest: None, lines: 0 };
        let _ = carve(&mut counter);
        Lent { scratch: self, slab: self.slabs().take(counter.lines) }
    }

    /// Bytes that are held, whether in use or not.
    pub fn bytes(&self) -> usize {
        self.slabs().held() * size_of::<Line>()
    }

    /// Frees what is not in use.
    pub fn release(&self) {
        self.slabs().free.clear();
    }

    fn slabs(&self) -> MutexGuard<'_, Slabs> {
        self.slabs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("bytes", &self.bytes()).finish()
    }
}

impl Slabs {
    fn held(&self) -> usize {
        self.in_use + self.free.iter().map(|slab| slab.len()).sum::<usize>()
    }

    fn take(&mut self, lines: usize) -> Box<[Line]> {
        self.free.sort_unstable_by_key(|slab| slab.len());
        let fit = self.free.partition_point(|slab| slab.len() < lines);
        let slab = if fit < self.free.len() {
            self.free.remove(fit)
        } else {
            // All are too small: the largest gives way, so that what grows does not pile up.
            drop(self.free.pop());
            zeroed_slice_box(lines)
        };
        self.in_use += slab.len();
        self.most_in_use = self.most_in_use.max(self.in_use);
        while self.held() > self.most_in_use {
            drop(self.free.pop());
        }
        slab
    }

    fn give_back(&mut self, slab: Box<[Line]>) {
        self.in_use -= slab.len();
        self.free.push(slab);
    }
}

/// A slab in use; it goes back when it is dropped.
pub(crate) struct Lent<'s> {
    scratch: &'s Scratch,
    slab: Box<[Line]>,
}

impl Lent<'_> {
    /// The whole slab, to carve arrays out of.
    pub fn arena(&mut self) -> Arena<'_> {
        Arena { rest: Some(&mut self.slab), lines: 0 }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.scratch.slabs().give_back(std::mem::take(&mut self.slab));
    }
}

/// Memory that arrays are carved out of, one behind the other.
pub(crate) struct Arena<'m> {
    /// None: arrays are counted, and come out empty.
    rest: Option<&'m mut [Line]>,
    /// Lines carved so far.
    lines: usize,
}

impl<'m> Arena<'m> {
    /// An array of `len` zeros, or an empty one if this arena only counts: whoever carves arrays must
    /// not look into them yet.
    pub fn zeros<N: Pod>(&mut self, len: usize) -> &'m mut [N] {
        let lines = (len * size_of::<N>()).div_ceil(size_of::<Line>());
        self.lines += lines;
        let Some(rest) = self.rest.take() else { return &mut [] };
        let (array, rest) = rest.split_at_mut(lines);
        self.rest = Some(rest);
        array.fill(Line::zeroed());
        &mut cast_slice_mut(array)[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lend(scratch: &Scratch, lines: usize) -> Lent<'_> {
        scratch.lend(|arena| arena.zeros::<f32>(16 * lines))
    }

    fn lines(scratch: &Scratch) -> usize {
        scratch.bytes() / size_of::<Line>()
    }

    #[test]
    fn arrays_are_apart_aligned_and_zero() {
        let scratch = Scratch::default();
        for round in 0..2 {
            let carve = |arena: &mut Arena<'_>| {
                let (a, b) = (arena.zeros::<f32>(17).len(), arena.zeros::<f64>(3).len());
                (a, b, arena.zeros::<u32>(1).len())
            };
            let mut slab = scratch.lend(|arena| assert_eq!(carve(arena), (0, 0, 0)));
            assert_eq!(slab.slab.len(), 4);
            let mut arena = slab.arena();
            let (a, b) = (arena.zeros::<f32>(17), arena.zeros::<f64>(3));
            let c = arena.zeros::<u32>(1);
            assert!(arena.rest.is_some_and(|rest| rest.is_empty()), "round {round}");
            assert!(a == [0.0; 17] && b == [0.0; 3] && c == [0]);
            for address in [a.as_ptr().addr(), b.as_ptr().addr(), c.as_ptr().addr()] {
                assert_eq!(address % 64, 0);
            }
            a.fill(1.0);
            b.fill(2.0);
            assert!(c == [0] && a == [1.0; 17]);
        }
    }

    #[test]
    fn a_smaller_array_is_served_from_a_larger_slab() {
        let scratch = Scratch::default();
        drop((lend(&scratch, 10), lend(&scratch, 4)));
        assert_eq!(lines(&scratch), 14);
        let small = lend(&scratch, 3);
        assert_eq!((small.slab.len(), lines(&scratch)), (4, 14));
        let other = lend(&scratch, 3);
        assert_eq!((other.slab.len(), lines(&scratch)), (10, 14));
    }

    #[test]
    fn no_more_is_held_than_was_ever_in_use() {
        let scratch = Scratch::default();
        for size in 1..100 {
            drop(lend(&scratch, size));
            assert_eq!(lines(&scratch), size);
        }
        drop((lend(&scratch, 5), lend(&scratch, 5)));
        assert_eq!(lines(&scratch), 104);
        drop(lend(&scratch, 102));
        assert_eq!(lines(&scratch), 102);
        let used = lend(&scratch, 50);
        scratch.release();
        assert_eq!(lines(&scratch), 102);
        drop(used);
        scratch.release();
        assert_eq!(scratch.bytes(), 0);
    }

    #[test]
    fn threads_never_share_a_slab() {
        let scratch = Scratch::default();
        std::thread::scope(|scope| {
            for thread in 1..=4_u32 {
                let scratch = &scratch;
                scope.spawn(move || {
                    for round in 0..200_usize {
                        let mut slab = lend(scratch, 1 + round % 7);
                        let array = slab.arena().zeros::<u32>(16);
                        array.fill(thread);
                        std::thread::yield_now();
                        assert!(array.iter().all(|&number| number == thread));
                    }
                });
            }
        });
        assert!(lines(&scratch) <= 4 * 7);
    }
}
