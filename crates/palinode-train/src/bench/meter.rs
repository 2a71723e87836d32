//! What a measurement reads the memory from.

use burn::tensor::Device;

/// A counter of live bytes: the counting allocator of a program, or the memory of a [device](DeviceMeter).
pub trait Meter {
    /// Live bytes now.
    fn current(&self) -> usize;
    /// The most live bytes since the last [`reset_peak`](Meter::reset_peak).
    fn peak(&self) -> usize;
    /// Starts a new peak from the live bytes now.
    fn reset_peak(&self);
    /// Whether a reading waits for the work that the device still has to do.
    fn waits(&self) -> bool {
        false
    }
}

/// The memory of a device that is not the CPU.
///
/// The peak is what the device's pool has reserved: it grows in pages and never shrinks by itself, so that it
/// is at least the peak of the live bytes.
#[derive(Clone, Debug)]
pub struct DeviceMeter(Device);

impl DeviceMeter {
    /// The memory of `device`; `None` if the device does not report it.
    pub fn new(device: &Device) -> Option<Self> {
        device.memory_pool_usage().map(|_| Self(device.clone()))
    }
}

impl Meter for DeviceMeter {
    fn current(&self) -> usize {
        // An error of the device comes back with the next thing that is computed there.
        let _ = self.0.sync();
        self.0.memory_pool_usage().map_or(0, |usage| usage.bytes_in_use as usize)
    }

    fn peak(&self) -> usize {
        self.0.memory_pool_usage().map_or(0, |usage| usage.bytes_reserved as usize)
    }

    fn reset_peak(&self) {
        self.0.memory_cleanup();
    }

    fn waits(&self) -> bool {
        true
    }
}
