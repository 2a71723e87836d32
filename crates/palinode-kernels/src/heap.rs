//! What the allocator does with large blocks.

use std::alloc::{GlobalAlloc, Layout};

/// Blocks from this size on are large.
const LARGE: usize = 3 << 20;

/// From now on gives large blocks back to the system as soon as they are freed, so that a process's
/// resident memory is what it has alive.
///
/// The GNU C library keeps blocks of up to 32 MB for later, in pieces that fit nothing else: a training
/// step's peak resident memory was 1.3 to 1.5 times its peak of live bytes. Elsewhere this does nothing.
/// To be used with [`LargePages`], or getting blocks again costs up to a fifth of a step.
pub fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers, locks the allocator by itself, and where it refuses them
    // changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE as i32);
    }
}

/// An allocator that asks the system for large pages under the large blocks of another one: hundreds of
/// page faults less for each. On systems other than Linux it is the other one.
#[derive(Clone, Copy, Debug)]
pub struct LargePages<A>(pub A);

// SAFETY: blocks are the inner allocator's, unchanged.
unsafe impl<A: GlobalAlloc> GlobalAlloc for LargePages<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let block = unsafe { self.0.alloc(layout) };
        if layout.size() >= LARGE && !block.is_null() {
            advise(block, layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { self.0.dealloc(block, layout) }
    }
}

/// Asks for large pages inside a block of this crate's allocator.
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
    use std::alloc::System;

    #[test]
    fn large_blocks_hold_what_is_written() {
        let heap = LargePages(System);
        for size in [1, LARGE - 1, LARGE, 3 * LARGE + 5] {
            let layout = Layout::from_size_align(size, 64).expect("a layout");
            // SAFETY: written and read inside the block, freed once with the same layout.
            unsafe {
                let block = heap.alloc(layout);
                assert!(!block.is_null());
                block.write_bytes(7, size);
                assert!((0..size).all(|i| block.add(i).read() == 7));
                heap.dealloc(block, layout);
                let block = heap.alloc_zeroed(layout);
                assert!((0..size).all(|i| block.add(i).read() == 0));
                heap.dealloc(block, layout);
            }
        }
    }
}
