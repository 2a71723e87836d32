//! What a device does with its work.

use crate::error::{Error, Result};
use burn::tensor::{Device, ExecutionError, Tensor};

/// Whether `device` is the CPU, inside a graph of automatic differentiation or not.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
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
