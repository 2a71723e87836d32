//! From a name to the device.

use super::found::devices;
use super::name::{DeviceName, FIELD};
use super::runtime::Runtime;
use crate::error::{Error, Result};
use burn::tensor::Device;

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
            0 => "there is no such device".to_owned(),
            1 => format!("there is only one {runtime} device"),
            number => format!("there are only {number} {runtime} devices"),
        };
        let reason = format!(
            "`{self}` was asked for, but {number}. Looked for {}. This machine has {}",
            runtime.driver(),
            found.join("; ")
        );
        Err(Error::config(FIELD, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
