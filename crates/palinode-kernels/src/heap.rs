//! An allocator that counts what is alive and keeps large blocks for the next who want such.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks from this size on are large. (Of fewer, the system's allocator keeps holes that large ones do not fit:
/// with 256 KB the resident memory of deep networks was up to a fifth more than what was alive.)
const LARGE: usize = 128 << 10;

/// Blocks from this size on are put on large pages, which are of 2 MB.
const OF_LARGE_PAGES: usize = 2 << 20;

/// From now on large blocks go back to the system as soon as they are freed, so that a process's resident
/// memory is what it has alive, and what [`Heap`] keeps.
///
/// The GNU C library keeps blocks of up to 32 MB for later, in pieces that fit nothing else: a training
/// step's peak resident memory was 1.3 to 1.5 times its peak of live bytes. Elsewhere this does nothing.
/// To be used with a [`Heap`], or getting blocks again costs up to a third of a step.
pub fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers, locks the allocator by itself, and where it refuses them
    // changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE as i32);
    }
}

/// The system's allocator, counting live bytes, with the largest blocks on large pages, and large ones kept for
/// the next of the same size: a block from the system costs the clearing of its pages.
///
/// Live and kept bytes together are never more than the most that were ever alive, so keeping does not raise a
/// process's peak.
#[derive(Debug)]
pub struct Heap {
    live: AtomicUsize,
    /// The most since `reset_peak`.
    peak: AtomicUsize,
    /// The most before it.
    peak_before: AtomicUsize,
    /// Those of `kept`, to be read without its lock.
    kept_bytes: AtomicUsize,
    kept: Mutex<Kept>,
}

impl Heap {
    /// With nothing alive.
    #[allow(clippy::new_without_default)] // a static's start
    pub const fn new() -> Self {
        let [live, peak, peak_before, kept_bytes] = [const { AtomicUsize::new(0) }; 4];
        Self { live, peak, peak_before, kept_bytes, kept: Mutex::new(Kept::new()) }
    }

    /// Live bytes, as they were asked for; kept blocks are not among them.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// The most live bytes since the last [`reset_peak`](Self::reset_peak).
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Measures the peak anew, from what is alive now.
    pub fn reset_peak(&self) {
        self.peak_before.fetch_max(self.peak(), Ordering::Relaxed);
        self.peak.store(self.live(), Ordering::Relaxed);
    }

    /// Counts a block that comes to life.
    fn grow(&self, size: usize) {
        let live = self.live.fetch_add(size, Ordering::Relaxed) + size;
        self.peak.fetch_max(live, Ordering::Relaxed);
    }

    /// Counts a block that is no longer alive.
    fn shrink(&self, size: usize) {
        self.live.fetch_sub(size, Ordering::Relaxed);
    }

    /// What live and kept bytes may be together.
    fn bound(&self) -> usize {
        self.peak().max(self.peak_before.load(Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back kept blocks until there is room for what is alive.
    fn make_room(&self, kept: &mut Kept) {
        while kept.bytes + self.live() > self.bound() && kept.give_back_oldest() {}
        self.kept_bytes.store(kept.bytes, Ordering::Relaxed);
    }

    /// Counts a small block that comes to life.
    fn grow_small(&self, size: usize) {
        self.grow(size);
        let kept = self.kept_bytes.load(Ordering::Relaxed);
        if kept > 0 && kept + self.live() > self.bound() {
            self.make_room(&mut self.kept());
        }
    }

    /// A block of any size, and whether it is new, as `allocate` makes them.
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

    /// A kept block, or a new one after giving back kept ones until there is room; whether it is new.
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
        } else if layout.size() >= OF_LARGE_PAGES {
            advise(block, layout.size());
        }
        (block, true)
    }
}

// SAFETY: every block is the system's, for the same layout, and handed out to one at a time: it leaves `kept`
// when it is taken, and comes there when it is freed.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        self.block(layout, || unsafe { System.alloc(layout) }).0
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let (block, new) = self.block(layout, || unsafe { System.alloc_zeroed(layout) });
        if !new {
            // SAFETY: a block of this size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.shrink(layout.size());
        if layout.size() >= LARGE {
            let mut kept = self.kept();
            if kept.bytes + self.live() + layout.size() <= self.bound() {
                kept.keep(block, layout);
                self.kept_bytes.store(kept.bytes, Ordering::Relaxed);
                return;
            }
        }
        // SAFETY: the caller's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < LARGE && size < LARGE {
            // SAFETY: the caller's.
            let new = unsafe { System.realloc(block, layout, size) };
            if !new.is_null() {
                self.grow_small(size);
                self.shrink(layout.size());
            }
            return new;
        }
        // SAFETY: the caller's: `size` with this alignment is a layout; the two blocks are apart, and as long as
        // what is copied.
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

/// Freed large blocks, the oldest first.
#[derive(Debug)]
struct Kept {
    /// The first `count` are there.
    blocks: [Option<(*mut u8, Layout)>; Self::MOST],
    count: usize,
    bytes: usize,
}

// SAFETY: nobody else has a pointer into a kept block.
unsafe impl Send for Kept {}

impl Kept {
    /// More than a training step has of them.
    const MOST: usize = 1024;

    const fn new() -> Self {
        Self { blocks: [None; Self::MOST], count: 0, bytes: 0 }
    }

    fn remove(&mut self, index: usize) -> Option<(*mut u8, Layout)> {
        let (block, layout) = self.blocks[..self.count].get(index).copied().flatten()?;
        self.blocks.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.bytes -= layout.size();
        Some((block, layout))
    }

    /// The newest for a layout: it may be in the cache yet.
    fn take(&mut self, layout: Layout) -> Option<*mut u8> {
        let fits = |kept: &Option<(*mut u8, Layout)>| kept.is_some_and(|kept| kept.1 == layout);
        let index = self.blocks[..self.count].iter().rposition(fits)?;
        self.remove(index).map(|(block, _)| block)
    }

    fn keep(&mut self, block: *mut u8, layout: Layout) {
        if self.count == Self::MOST {
            self.give_back_oldest();
        }
        self.blocks[self.count] = Some((block, layout));
        self.count += 1;
        self.bytes += layout.size();
    }

    /// Whether there was one.
    fn give_back_oldest(&mut self) -> bool {
        let Some((block, layout)) = self.remove(0) else { return false };
        // SAFETY: the system's block for this layout, which nobody has.
        unsafe { System.dealloc(block, layout) };
        true
    }
}

/// Asks for large pages inside a block: hundreds of page faults less for each. On systems other than Linux it
/// does nothing.
fn advise(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let before = block.align_offset(PAGE);
        let whole = size.saturating_sub(before) / PAGE * PAGE;
        // SAFETY: whole pages inside the block; the advice changes how they are backed, not what they
        // hold, and where the system refuses it, nothing.
        unsafe {
            libc::madvise(block.add(before).cast(), whole, libc::MADV_HUGEPAGE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, size);
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
        for size in [1, LARGE - 1, LARGE, OF_LARGE_PAGES + 5] {
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
            assert_eq!((heap.live(), heap.kept().count), (0, 2));
            // The newest first, and cleared where that is wanted.
            b.write_bytes(5, LARGE);
            assert_eq!(heap.alloc_zeroed(one), b);
            assert!((0..LARGE).all(|i| b.add(i).read() == 0));
            heap.dealloc(b, one);
            // No room for two more beside them.
            let c = heap.alloc(two);
            assert_eq!(heap.kept().bytes, 0);
            heap.reset_peak();
            assert_eq!(heap.peak(), 2 * LARGE);
            heap.dealloc(c, two);
            heap.reset_peak();
            assert_eq!((heap.live(), heap.peak(), heap.kept().bytes), (0, 0, 2 * LARGE));
            let d = heap.alloc(one);
            assert_eq!((heap.live(), heap.peak(), heap.kept().count), (LARGE, LARGE, 0));
            heap.dealloc(d, one);
            // Small blocks take the room of kept ones too.
            let small = layout(LARGE - 64);
            let smalls = [(); 3].map(|()| heap.alloc(small));
            assert_eq!((heap.live(), heap.kept().count), (3 * (LARGE - 64), 0));
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
        let kept = heap.kept().bytes;
        assert!(heap.live() == 0 && kept > 0 && kept <= heap.peak());
        while heap.kept().give_back_oldest() {}
    }
}
