//! Working memory that is used again from call to call.
//!
//! A call takes one slab for every thread at work and carves arrays out of it with an [`Arena`]. How
//! large a slab must be is found by carving the same arrays out of an arena that only counts.

use bytemuck::allocation::zeroed_slice_box;
use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use std::fmt;
use std::ops::Range;
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
        Lent { scratch: self, slab: self.slabs().take(Arena::lines_of(carve)), fences: Vec::new() }
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
    fences: Vec<Range<usize>>,
}

impl Lent<'_> {
    /// The whole slab, to carve arrays out of.
    pub fn arena(&mut self) -> Arena<'_> {
        self.fences.clear();
        Arena { rest: Some((&mut self.slab, &mut self.fences)), lines: 0 }
    }
}

impl Drop for Lent<'_> {
    /// # Panics
    /// In debug builds, if anything was written behind the end of an array.
    fn drop(&mut self) {
        let slab = std::mem::take(&mut self.slab);
        let bytes: &[u8] = cast_slice(&slab);
        let are_intact =
            self.fences.iter().all(|fence| bytes[fence.clone()].iter().all(|&b| b == FENCE));
        self.scratch.slabs().give_back(slab);
        assert!(are_intact || std::thread::panicking(), "a write behind the end of an array");
    }
}

/// Debug builds put a fence behind every array, of at least one line of such bytes, and look after it when the
/// slab goes back.
const FENCE: u8 = 0xa7;

/// Memory that arrays are carved out of, one behind the other.
pub(crate) struct Arena<'m> {
    /// What is left of a slab, and the places of its fences in bytes. None: arrays are counted, and come out
    /// empty.
    rest: Option<(&'m mut [Line], &'m mut Vec<Range<usize>>)>,
    /// Lines carved so far.
    lines: usize,
}

impl Arena<'static> {
    /// Bytes of the arrays that `carve` takes out of an arena.
    pub fn bytes_of<T>(carve: impl FnOnce(&mut Self) -> T) -> usize {
        Self::lines_of(carve) * size_of::<Line>()
    }

    fn lines_of<T>(carve: impl FnOnce(&mut Self) -> T) -> usize {
        let mut counter = Self { rest: None, lines: 0 };
        let _ = carve(&mut counter);
        counter.lines
    }
}

impl<'m> Arena<'m> {
    /// An array of `len` zeros, or an empty one if this arena only counts. So code that carves arrays must not
    /// access their elements.
    pub fn zeros<N: Pod>(&mut self, len: usize) -> &'m mut [N] {
        const LINE: usize = size_of::<Line>();
        let bytes = len * size_of::<N>();
        let lines = bytes.div_ceil(LINE) + usize::from(cfg!(debug_assertions));
        let start = self.lines * LINE;
        self.lines += lines;
        let Some((rest, fences)) = self.rest.take() else { return &mut [] };
        let (array, rest) = rest.split_at_mut(lines);
        array.fill(Line::zeroed());
        if cfg!(debug_assertions) {
            cast_slice_mut(array)[bytes..].fill(FENCE);
            fences.push(start + bytes..start + lines * LINE);
        }
        self.rest = Some((rest, fences));
        &mut cast_slice_mut(array)[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a fence.
    const OF_FENCE: usize = if cfg!(debug_assertions) { 1 } else { 0 };

    /// A slab of `lines` lines.
    fn lend(scratch: &Scratch, lines: usize) -> Lent<'_> {
        scratch.lend(|arena| arena.zeros::<f32>(16 * (lines - OF_FENCE)))
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
            assert_eq!(slab.slab.len(), 4 + 3 * OF_FENCE);
            let mut arena = slab.arena();
            let (a, b) = (arena.zeros::<f32>(17), arena.zeros::<f64>(3));
            let c = arena.zeros::<u32>(1);
            assert!(arena.rest.is_some_and(|(rest, _)| rest.is_empty()), "round {round}");
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
    #[cfg(debug_assertions)]
    fn writes_behind_an_array_are_found() {
        let scratch = Scratch::default();
        for place in [5, 20, 31] {
            let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut slab = scratch.lend(|arena| arena.zeros::<f32>(5));
                let _ = slab.arena().zeros::<f32>(5);
                cast_slice_mut::<Line, f32>(&mut slab.slab)[place] = 1.0;
            }));
            assert!(written.is_err(), "place {place}");
        }
    }

    #[test]
    fn threads_never_share_a_slab() {
        let scratch = Scratch::default();
        std::thread::scope(|scope| {
            for thread in 1..=4_u32 {
                let scratch = &scratch;
                scope.spawn(move || {
                    for round in 0..200_usize {
                        let mut slab = lend(scratch, 2 + round % 7);
                        let array = slab.arena().zeros::<u32>(5);
                        array.fill(thread);
                        std::thread::yield_now();
                        assert!(array.iter().all(|&number| number == thread));
                    }
                });
            }
        });
        assert!(lines(&scratch) <= 4 * 8);
    }
}
