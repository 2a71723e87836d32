//! The devices that networks are computed on, by name.
//!
//! A name is a [runtime](Runtime) and a number: `cpu`, `wgpu`, `vulkan:1`, `cuda:0`. Every runtime except
//! the CPU needs the Cargo feature of its name. `metal` and `rocm` are passed on to Burn and have not been
//! tested.

mod found;
mod runtime;

pub use found::{DeviceInfo, check_available, devices};
pub use runtime::Runtime;

use crate::error::{Error, Result};
use burn::tensor::{Device, ExecutionError, Tensor};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The name of the setting in messages.
const FIELD: &str = "training.device";

/// The name of a device: a runtime, and which of its devices, counted from 0. `wgpu` is `wgpu:0`. The
/// devices of a runtime are in the order that it lists them, graphics cards before software.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceName {
    /// The runtime.
    pub runtime: Runtime,
    /// Which of its devices.
    pub index: usize,
}

impl DeviceName {
    /// The device, without autodiff.
    ///
    /// # Errors
    /// [`Error::Config`] saying what was looked for and what there is: if the library was built without the
    /// feature of the runtime, or if the machine does not have the device.
    pub fn open(self) -> Result<Device> {
        let Self { runtime, index } = self;
        if !runtime.is_built() {
            let built: Vec<&str> = Runtime::built().map(Runtime::name).collect();
            let reason = format!(
                "`{self}` needs a program that was built with the feature `{runtime}` \
                 (`cargo build --release --features {runtime}`); this one was built for {}",
                built.join(", ")
            );
            return Err(Error::config(FIELD, reason));
        }
        let mut own = runtime.devices();
        if index < own.len() {
            return Ok(own.swap_remove(index));
        }
        let found: Vec<String> = devices().iter().map(ToString::to_string).collect();
        let number = match own.len() {
            0 => "no".to_owned(),
            number => format!("only {number}"),
        };
        let reason = format!(
            "there is {number} {runtime} device where `{self}` is asked for. Looked for {}. This machine \
             has {}",
            runtime.driver(),
            found.join("; ")
        );
        Err(Error::config(FIELD, reason))
    }
}

/// Waits until `device` has done everything that it was given. The CPU computes at once.
///
/// # Errors
/// [`Error::Device`] with the device's reason.
pub fn synchronize(device: &Device) -> Result<()> {
    device.sync().map_err(|error| failed(&error))
}

/// The numbers of a tensor in f64, row-major.
///
/// # Errors
/// [`Error::Device`] if the device could not compute them.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>> {
    let data = tensor.inner().try_into_data().map_err(|error| failed(&error))?;
    data.convert::<f64>().try_to_vec().map_err(|error| Error::Device(error.to_string()))
}

/// The error of a device, on one line.
fn failed(error: &ExecutionError) -> Error {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Error::Device(lines.take(4).collect::<Vec<_>>().join(" "))
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => write!(f, "{}", self.runtime),
            index => write!(f, "{}:{index}", self.runtime),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        let runtime = Runtime::ALL.into_iter().find(|runtime| runtime.name() == name);
        let index =
            number.parse().ok().filter(|&index| index == 0 || runtime != Some(Runtime::Cpu));
        match (runtime, index) {
            (Some(runtime), Some(index)) => Ok(Self { runtime, index }),
            _ => {
                let reason = format!(
                    "`{text}` names no device; expected cpu, or one of wgpu, vulkan, cuda, metal and rocm, \
                     with a number behind it where there are several (`cuda:1`)"
                );
                Err(Error::config(FIELD, reason))
            }
        }
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| match error {
            // The reader of the recipe names the field itself.
            Error::Config { reason, .. } => D::Error::custom(reason),
            error => D::Error::custom(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (text, runtime, index) in [
            ("cpu", Runtime::Cpu, 0),
            ("wgpu", Runtime::Wgpu, 0),
            ("vulkan:2", Runtime::Vulkan, 2),
            ("cuda:11", Runtime::Cuda, 11),
            ("metal", Runtime::Metal, 0),
            ("rocm", Runtime::Rocm, 0),
        ] {
            let name: DeviceName = text.parse().unwrap();
            assert_eq!(name, DeviceName { runtime, index });
            assert_eq!(name.to_string(), text);
        }
        assert_eq!("cuda:0".parse::<DeviceName>().unwrap().to_string(), "cuda");
        for text in ["", "gpu", "cpu:1", "cuda:", "cuda:x", "cuda:-1", "CUDA", "wgpu:1:2"] {
            let message = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(message.contains("names no device; expected cpu"), "{message}");
        }
    }

    #[test]
    fn a_device_that_is_missing_is_one_clear_line() {
        assert_eq!(DeviceName::default().open().unwrap(), Device::flex());
        for runtime in Runtime::ALL {
            let name = DeviceName { runtime, index: 77 };
            let message = name.open().unwrap_err().to_string();
            assert!(message.starts_with("training.device: "), "{message}");
            let expected = if runtime.is_built() { "This machine has cpu" } else { "--features" };
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        }
    }
}
