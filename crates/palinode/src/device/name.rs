//! The name of a device.

use super::runtime::Runtime;
use crate::error::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The name of the setting in messages.
pub(super) const FIELD: &str = "training.device";

/// The name of a device: a runtime, and which of its devices, counted from 0. `wgpu` is `wgpu:0`. The
/// devices of a runtime are in the order that it lists them, graphics cards before software.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceName {
    /// The runtime.
    pub runtime: Runtime,
    /// Which of its devices.
    pub index: usize,
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
}
