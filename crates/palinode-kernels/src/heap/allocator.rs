//! The allocator.

use super::kept::Kept;
use super::system::{LARGE, advise_large_pages};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks of this size and larger are put on large pages, which have 2 MB.
const ON_LARGE_PAGES: usize = 2 << 20;

/// The system's allocator with three additions. It counts live bytes. It puts blocks of 2 MB and more on large
/// pages. And it keeps freed blocks of 128 KB and more for later requests of the same size, because
/// the system has to clear the pages of every block that it hands out.
///
/// Live and kept bytes together are never more than the most bytes that were ever alive, so keeping does not
/// raise the peak of the process's memory.
#[derive(Debug)]
pub struct Heap {
    live: AtomicUsize,
    /// The most live bytes since `reset_peak`.
    peak: AtomicUsize,
    /// The most live bytes before that.
    peak_before: AtomicUsize,
    /// The bytes of `kept`, to be read without its lock.
    kept_bytes: AtomicUsize,
    kept: Mutex<Kept>,
}

impl Heap {
    /// A heap without blocks, for a `static`.
    #[allow(clippy::new_without_default, reason = "a default could not be used in a static")]
    pub const fn new() -> Self {
        let [live, peak, peak_before, kept_bytes] = [const { AtomicUsize::new(0) }; 4];
        Self { live, peak, peak_before, kept_bytes, kept: Mutex::new(Kept::new()) }
    }

    /// Live bytes, as they were asked for. Kept blocks do not count.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// The most live bytes since the last [`reset_peak`](Self::reset_peak).
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Begins a new measurement of the peak, from what is alive now.
    pub fn reset_peak(&self) {
        self.peak_before.fetch_max(self.peak(), Ordering::Relaxed);
        self.peak.store(self.live(), Ordering::Relaxed);
    }

    /// Counts a new block.
    fn grow(&self, size: usize) {
        let live = self.live.fetch_add(size, Ordering::Relaxed) + size;
        self.peak.fetch_max(live, Ordering::Relaxed);
    }

    /// Counts a freed block.
    fn shrink(&self, size: usize) {
        self.live.fetch_sub(size, Ordering::Relaxed);
    }

    /// The most that live and kept bytes may be together.
    fn bound(&self) -> usize {
        self.peak().max(self.peak_before.load(Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives kept blocks back to the system until there is room for the live ones.
    fn make_room(&self, kept: &mut Kept) {
        while kept.bytes() + self.live() > self.bound() && kept.give_back_oldest() {}
        self.kept_bytes.store(kept.bytes(), Ordering::Relaxed);
    }

    /// Counts a new small block.
    fn grow_small(&self, size: usize) {
        self.grow(size);
        let kept = self.kept_bytes.load(Ordering::Relaxed);
        if kept > 0 && kept + self.live() > self.bound() {
            self.make_room(&mut self.kept());
        }
    }

    /// A block of any size, and whether it is new. `allocate` asks the system for one.
    fn block(&self, layout: Layout, allocate: impl Fn() -> *mut u8) -> (*mut u8, bool) {
        if layout.size() >= LARGE {
            return self.large(layout, allocate);
        }
        let block = allocate();
        if !block.is_null() {
            self.grow_small(layout.size());
        }
        (block, true)
    }

    /// A kept block, or a new one for which kept blocks have made room; and whether it is new.
    fn large(&self, layout: Layout, allocate: impl Fn() -> *mut u8) -> (*mut u8, bool) {
        self.grow(layout.size());
        let mut kept = self.kept();
        let taken = kept.take(layout);
        self.make_room(&mut kept);
        if let Some(block) = taken {
            return (block, false);
        }
        let mut block = allocate();
        if block.is_null() {
            while kept.give_back_oldest() {}
            self.kept_bytes.store(0, Ordering::Relaxed);
            block = allocate();
        }
        drop(kept);
        if block.is_null() {
            self.shrink(layout.size());
        } else if layout.size() >= ON_LARGE_PAGES {
            // SAFETY: the block that has just been allocated.
            unsafe { advise_large_pages(block, layout.size()) };
        }
        (block, true)
    }
}

// SAFETY: every block comes from the system's allocator for the layout that it is handed out with. It has one
// owner at a time: it enters `kept` only when it is freed, and leaves it when it is handed out again.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract of this method is that of the system's allocator.
        self.block(layout, || unsafe { System.alloc(layout) }).0
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract of this method is that of the system's allocator.
        let (block, new) = self.block(layout, || unsafe { System.alloc_zeroed(layout) });
        if !new {
            // SAFETY: a kept block was allocated with this layout, so it has this size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.shrink(layout.size());
        if layout.size() >= LARGE {
            let mut kept = self.kept();
            if kept.bytes() + self.live() + layout.size() <= self.bound() {
                // SAFETY: the caller vouches that the block was allocated here with this layout, hence by the
                // system's allocator, and that it is not used any more.
                unsafe { kept.keep(block, layout) };
                self.kept_bytes.store(kept.bytes(), Ordering::Relaxed);
                return;
            }
        }
        // SAFETY: the block is the system's, as `allocate` and `Kept` make sure, and the caller vouches for the
        // layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < LARGE && size < LARGE {
            // SAFETY: small blocks are never kept, so this one came from the system; the caller vouches for the
            // rest, by the contract of this method.
            let new = unsafe { System.realloc(block, layout, size) };
            if !new.is_null() {
                self.grow_small(size);
                self.shrink(layout.size());
            }
            return new;
        }
        // SAFETY: by the contract of this method, `size` with this alignment is a valid layout and not zero, and
        // `block` was allocated with `layout`. The new block is another one, and as many bytes are copied as
        // the smaller of the two has.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                block.copy_to_nonoverlapping(new, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 64).expect("a layout")
    }

    #[test]
    fn blocks_hold_what_is_written() {
        let heap = Heap::new();
        for size in [1, LARGE - 1, LARGE, ON_LARGE_PAGES + 5] {
            // SAFETY: written and read inside blocks, each freed once with its layout.
            unsafe {
                let block = heap.alloc(layout(size));
                block.write_bytes(7, size);
                assert!((0..size).all(|i| block.add(i).read() == 7));
                for new in [size / 2 + 1, size + LARGE, size] {
                    let other = heap.alloc(layout(size));
                    other.write_bytes(9, size);
                    let block = heap.realloc(other, layout(size), new);
                    assert!((0..new.min(size)).all(|i| block.add(i).read() == 9));
                    heap.dealloc(block, layout(new));
                }
                heap.dealloc(block, layout(size));
                let block = heap.alloc_zeroed(layout(size));
                assert!((0..size).all(|i| block.add(i).read() == 0));
                heap.dealloc(block, layout(size));
            }
        }
        assert_eq!(heap.live(), 0);
    }

    #[test]
    fn large_blocks_are_kept_but_never_beyond_the_peak() {
        let heap = Heap::new();
        let (one, two) = (layout(LARGE), layout(2 * LARGE));
        // SAFETY: each block is freed once with its layout.
        unsafe {
            let [a, b] = [heap.alloc(one), heap.alloc(one)];
            assert_ne!(a, b);
            assert_eq!((heap.live(), heap.peak()), (2 * LARGE, 2 * LARGE));
            heap.dealloc(a, one);
            heap.dealloc(b, one);
            assert_eq!((heap.live(), heap.kept().bytes()), (0, 2 * LARGE));
            // The newest is handed out first, and cleared if that is asked for.
            b.write_bytes(5, LARGE);
            assert_eq!(heap.alloc_zeroed(one), b);
            assert!((0..LARGE).all(|i| b.add(i).read() == 0));
            heap.dealloc(b, one);
            // There is no room for two more beside them.
            let c = heap.alloc(two);
            assert_eq!(heap.kept().bytes(), 0);
            heap.reset_peak();
            assert_eq!(heap.peak(), 2 * LARGE);
            heap.dealloc(c, two);
            heap.reset_peak();
            assert_eq!((heap.live(), heap.peak(), heap.kept().bytes()), (0, 0, 2 * LARGE));
            let d = heap.alloc(one);
            assert_eq!((heap.live(), heap.peak(), heap.kept().bytes()), (LARGE, LARGE, 0));
            heap.dealloc(d, one);
            // Kept blocks make room for small ones, too.
            let small = layout(LARGE - 64);
            let smalls = [(); 3].map(|()| heap.alloc(small));
            assert_eq!((heap.live(), heap.kept().bytes()), (3 * (LARGE - 64), 0));
            smalls.iter().for_each(|&block| heap.dealloc(block, small));
            while heap.kept().give_back_oldest() {}
        }
    }

    #[test]
    fn threads_never_share_a_block() {
        let heap = Heap::new();
        std::thread::scope(|scope| {
            for thread in 1..=4_u8 {
                let heap = &heap;
                scope.spawn(move || {
                    for round in 0..40_usize {
                        let layout = layout(LARGE + 4096 * (round % 3));
                        // SAFETY: written and read inside the block, freed once with its layout.
                        unsafe {
                            let block = heap.alloc(layout);
                            let ends = [0, layout.size() / 2, layout.size() - 1];
                            ends.iter().for_each(|&end| block.add(end).write_volatile(thread));
                            std::thread::yield_now();
                            assert!(
                                ends.iter().all(|&end| block.add(end).read_volatile() == thread)
                            );
                            heap.dealloc(block, layout);
                        }
                    }
                });
            }
        });
        let kept = heap.kept().bytes();
        assert!(heap.live() == 0 && kept > 0 && kept <= heap.peak());
        while heap.kept().give_back_oldest() {}
    }
}
