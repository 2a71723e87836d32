//! An allocator that counts, for tests that are alone in their binary.

use palinode_train::bench::Meter;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What it has counted in the whole process.
pub struct Allocator;

impl Meter for Allocator {
    fn current(&self) -> usize {
        MEMORY.current_usage()
    }
    fn peak(&self) -> usize {
        MEMORY.peak_usage()
    }
    fn reset_peak(&self) {
        MEMORY.reset_peak_usage();
    }
}
