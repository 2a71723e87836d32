//! The devices of this machine and what they can do.

use super::name::DeviceName;
use super::runtime::Runtime;
use crate::error::Result;
use crate::memory::{available_bytes, check_fits};
use burn::tensor::{DType, Device};
use std::fmt;

/// A device of this machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name in recipes.
    pub name: DeviceName,
    /// What it calls itself, such as `NVIDIA H100 PCIe`; `None` for the CPU.
    pub hardware: Option<String>,
    /// Bytes that can be allocated on it at once; `None` if the runtime has no figure.
    pub memory: Option<u64>,
    /// Bytes of the memory that one multiprocessor shares; `None` for the CPU.
    pub shared_memory: Option<u64>,
    /// The element types that it computes in.
    pub types: Vec<DType>,
}

/// The types that matter here, in the order of their size.
const TYPES: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::BF16];

/// All devices of this machine for which this library was built. Opens each of them.
pub fn devices() -> Vec<DeviceInfo> {
    let named = |runtime: Runtime| {
        let devices = runtime.devices().into_iter().enumerate();
        devices.map(move |(index, device)| DeviceInfo::of(DeviceName { runtime, index }, &device))
    };
    Runtime::built().flat_map(named).collect()
}

/// Checks that the sum of `parts`, each given as (name, bytes), is available on `device`, with a sixteenth and
/// 16 MiB to spare. The check passes if the device does not report its memory.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) if the sum is not available. The message lists every part.
pub fn check_available(device: &Device, parts: &[(&str, u64)]) -> Result<()> {
    #[cfg(feature = "cube")]
    if let burn::backend::DispatchDevice::Cube(cube) = device.clone().inner().as_dispatch() {
        let own = cube.client().properties().memory.max_memory();
        let used = device.memory_pool_usage().map_or(0, |usage| usage.bytes_in_use);
        return check_fits(parts, own.map(|own| own.saturating_sub(used)));
    }
    let _ = device;
    check_fits(parts, available_bytes())
}

impl DeviceInfo {
    fn of(name: DeviceName, device: &Device) -> Self {
        let mut info =
            Self { name, hardware: None, memory: None, shared_memory: None, types: Vec::new() };
        if name.runtime == Runtime::Cpu {
            // Flex stores the half types too, but computes with them in f32.
            (info.types, info.memory) = (vec![DType::F64, DType::F32], available_bytes());
            return info;
        }
        info.types = TYPES.into_iter().filter(|&dtype| device.supports_dtype(dtype)).collect();
        #[cfg(feature = "cube")]
        if let burn::backend::DispatchDevice::Cube(cube) = device.as_dispatch() {
            let client = cube.client();
            let properties = client.properties();
            info.hardware = Some(properties.identity.name.clone());
            info.memory = properties.memory.max_memory();
            info.shared_memory = Some(properties.hardware.max_shared_memory_size as u64);
        }
        info
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        match &self.hardware {
            Some(hardware) => write!(f, " ({})", crate::wording::plain(hardware)),
            None => Ok(()),
        }
    }
}
