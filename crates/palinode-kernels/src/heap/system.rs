//! What is asked of the operating system and of its allocator.

/// Blocks of this size and larger count as large. (With 256 KB, the system's allocator kept so many holes
/// between smaller blocks that the resident memory of deep networks was up to a fifth more than their live
/// bytes.)
pub(super) const LARGE: usize = 128 << 10;

/// Makes large blocks go back to the system as soon as they are freed, so that the resident memory of the
/// process is what it has alive and what [`Heap`](super::Heap) keeps.
///
/// The GNU C library keeps freed blocks of up to 32 MB for later, in pieces that fit nothing else: with it a
/// training step's peak of resident memory was 1.3 to 1.5 times its peak of live bytes. With other libraries
/// this does nothing. Call it only in a program that uses a [`Heap`](super::Heap): without one, getting new
/// blocks from the system takes up to a third of a training step.
pub fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and no pointer. It locks the allocator by itself, and changes
    // nothing if it refuses the numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE as i32);
    }
}

/// Asks for large pages inside a block, which saves hundreds of page faults for each. It does nothing on
/// systems other than Linux.
///
/// # Safety
/// `block` is a block of `size` bytes.
pub(super) unsafe fn advise_large_pages(block: *mut u8, size: usize) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let before = block.align_offset(PAGE);
        let whole = size.saturating_sub(before) / PAGE * PAGE;
        // SAFETY: the caller vouches for the block, and these are whole pages inside it (none, if it has
        // none). The advice changes how pages are backed and not what they hold; a refusal changes nothing.
        unsafe {
            libc::madvise(block.wrapping_add(before).cast(), whole, libc::MADV_HUGEPAGE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, size);
}
