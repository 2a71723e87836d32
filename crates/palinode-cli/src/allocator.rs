//! The program's memory: its counting allocator, and what the operating system says.

use palinode::heap::Heap;
use palinode::tensor::Device;
use palinode_train::bench::{DeviceMeter, Meter};

/// Counts live bytes, so that reported peaks are measured.
#[global_allocator]
pub static MEMORY: Heap = Heap::new();

/// The program's counting allocator.
pub struct Allocator;

impl Meter for Allocator {
    fn current(&self) -> usize {
        MEMORY.live()
    }

    fn peak(&self) -> usize {
        MEMORY.peak()
    }

    fn reset_peak(&self) {
        MEMORY.reset_peak();
    }
}

/// What counts the memory that is used by computing on `device`.
pub fn meter_of(device: &Device) -> Box<dyn Meter> {
    match DeviceMeter::new(device) {
        Some(meter) => Box::new(meter),
        None => Box::new(Allocator),
    }
}

/// Resident bytes of this process: now, and the most there ever were. `None` on systems
/// other than Linux.
pub fn resident_bytes() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((1024 * kilobytes("VmRSS:")?, 1024 * kilobytes("VmHWM:")?))
}
