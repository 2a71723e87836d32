//! The allocator of the program.

use palinode::heap::Heap;

/// Counts live bytes, so that reported peaks are measured.
#[global_allocator]
pub static MEMORY: Heap = Heap::new();
