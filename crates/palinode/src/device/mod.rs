//! The devices that networks are computed on, by name.
//!
//! A name is a [runtime](Runtime) and a number: `cpu`, `wgpu`, `vulkan:1`, `cuda:0`. Every runtime except
//! the CPU needs the Cargo feature of its name. `metal` and `rocm` are passed on to Burn and have not been
//! tested.

mod found;
mod name;
mod open;
mod runtime;
mod work;

pub use found::{DeviceInfo, check_available, devices};
pub use name::DeviceName;
pub use runtime::Runtime;
pub use work::{is_cpu, read, synchronize};
