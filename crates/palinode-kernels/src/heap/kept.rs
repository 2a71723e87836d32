//! Freed blocks that are kept for later requests of the same size.

use std::alloc::{GlobalAlloc, Layout, System};

/// Freed large blocks of the system's allocator, the oldest first.
#[derive(Debug)]
pub(super) struct Kept {
    /// The first `count` are blocks.
    blocks: [Option<(*mut u8, Layout)>; Self::MOST],
    count: usize,
    bytes: usize,
}

// SAFETY: the pointers are the only ones into their blocks, which belong to no thread: the system's allocator
// lets any thread free them.
unsafe impl Send for Kept {}

impl Kept {
    /// More blocks than a training step frees.
    const MOST: usize = 1024;

    pub const fn new() -> Self {
        Self { blocks: [None; Self::MOST], count: 0, bytes: 0 }
    }

    /// The bytes of all blocks.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the newest block for a layout: it is the likeliest to be in the cache still.
    pub fn take(&mut self, layout: Layout) -> Option<*mut u8> {
        let fits = |kept: &Option<(*mut u8, Layout)>| kept.is_some_and(|kept| kept.1 == layout);
        let index = self.blocks[..self.count].iter().rposition(fits)?;
        self.remove(index).map(|(block, _)| block)
    }

    /// Keeps a freed block.
    ///
    /// # Safety
    /// `block` is a block of the system's allocator for this layout, and it is not used any more.
    pub unsafe fn keep(&mut self, block: *mut u8, layout: Layout) {
        if self.count == Self::MOST {
            self.give_back_oldest();
        }
        self.blocks[self.count] = Some((block, layout));
        self.count += 1;
        self.bytes += layout.size();
    }

    /// Gives the oldest block back to the system; false if there is none.
    pub fn give_back_oldest(&mut self) -> bool {
        let Some((block, layout)) = self.remove(0) else { return false };
        // SAFETY: by the contract of `keep` it is a block of the system's allocator for this layout and is not
        // used. It has just left the list, so it is freed once.
        unsafe { System.dealloc(block, layout) };
        true
    }

    fn remove(&mut self, index: usize) -> Option<(*mut u8, Layout)> {
        let (block, layout) = self.blocks[..self.count].get(index).copied().flatten()?;
        self.blocks.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.bytes -= layout.size();
        Some((block, layout))
    }
}
