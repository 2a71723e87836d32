//! What drives a device.

use burn::tensor::Device;
#[cfg(feature = "cube")]
use burn::tensor::DeviceType;
use std::fmt;

/// What drives a device: the CPU, or one of Burn's runtimes for graphics cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Burn's Flex backend, and the kernels of this project.
    #[default]
    Cpu,
    /// WGSL on whatever the machine has: Vulkan, Metal or DirectX 12.
    Wgpu,
    /// SPIR-V on Vulkan.
    Vulkan,
    /// NVIDIA.
    Cuda,
    /// MSL on Metal. Not tested.
    Metal,
    /// AMD. Not tested.
    Rocm,
}

impl Runtime {
    /// All runtimes.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::Wgpu, Self::Vulkan, Self::Cuda, Self::Metal, Self::Rocm];

    /// Its name in recipes and on the command line, and the name of its feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Rocm => "rocm",
        }
    }

    /// Whether this library was built with its feature.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Rocm => cfg!(feature = "rocm"),
        }
    }

    /// The runtimes that this library was built with.
    pub fn built() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|runtime| runtime.is_built())
    }

    /// What must be installed for it, as messages name it.
    pub(super) fn driver(self) -> &'static str {
        match self {
            Self::Cpu => "nothing",
            Self::Wgpu => {
                "a driver for Vulkan, Metal or DirectX 12 (on Debian: libvulkan1 and the driver of the card, \
                 or mesa-vulkan-drivers)"
            }
            Self::Vulkan => "a Vulkan driver (on Debian: libvulkan1 and the driver of the card)",
            Self::Cuda => "NVIDIA's driver (libcuda.so.1)",
            Self::Metal => "macOS with Metal",
            Self::Rocm => "AMD's ROCm (libamdhip64.so)",
        }
    }

    /// Its devices on this machine; none if the library was built without it.
    pub(super) fn devices(self) -> Vec<Device> {
        match self {
            Self::Cpu => vec![Device::flex()],
            #[cfg(feature = "wgpu")]
            Self::Wgpu => cards_first(Device::enumerate(DeviceType::Wgpu).into_vec()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => cards_first(Device::enumerate(DeviceType::Vulkan).into_vec()),
            #[cfg(feature = "cuda")]
            Self::Cuda => Device::enumerate(DeviceType::Cuda).into_vec(),
            #[cfg(feature = "metal")]
            Self::Metal => cards_first(Device::enumerate(DeviceType::Metal).into_vec()),
            #[cfg(feature = "rocm")]
            Self::Rocm => Device::enumerate(DeviceType::Rocm).into_vec(),
            #[allow(unreachable_patterns)]
            _ => Vec::new(),
        }
    }
}

/// The same devices, with those that software emulates last.
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
fn cards_first(mut devices: Vec<Device>) -> Vec<Device> {
    use burn::backend::DispatchDevice;
    use cubecl::device::{Device as CubeDevice, WgpuDeviceKind};
    devices.sort_by_key(|device| {
        let DispatchDevice::Cube(CubeDevice::Wgpu(found)) = device.as_dispatch() else { return 0 };
        match found.kind {
            WgpuDeviceKind::DiscreteGpu(_) => 0,
            WgpuDeviceKind::IntegratedGpu(_) => 1,
            WgpuDeviceKind::VirtualGpu(_) => 2,
            WgpuDeviceKind::Cpu => 4,
            _ => 3,
        }
    });
    devices
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
