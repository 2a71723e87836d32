//! What a device does with its work.

use crate::error::{Error, Result};
use crate::memory::megabytes;
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
    data.convert::<f64>().try_into_vec().map_err(|error| Error::Device(error.to_string()))
}

/// The error of a device, on one line.
fn failed(error: &ExecutionError) -> Error {
    Error::Device(reason(&error.to_string()))
}

/// What a device's report says: that its memory is full, or its first line and its last cause.
fn reason(report: &str) -> String {
    let refused = REFUSED.iter().find_map(|words| report.split_once(words));
    if let Some((_, rest)) = refused {
        let bytes = rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
        let array = bytes.map_or("another array".to_owned(), |bytes: u64| {
            format!("an array of {}", megabytes(bytes))
        });
        return format!(
            "its memory is full: {array} does not fit beside the others; a smaller batch takes less, and so does the \
             mode `reversible`"
        );
    }
    let mut lines = report.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("no reason given");
    let causes = lines.collect::<Vec<_>>();
    let last = causes.iter().rposition(|line| *line == "Caused by:");
    match last.and_then(|at| causes.get(at + 1)) {
        Some(cause) => format!("{first}: {cause}"),
        None => first.to_owned(),
    }
}

/// How CubeCL says that an array does not fit the memory, before the number of bytes.
const REFUSED: [&str; 3] =
    ["can't allocate buffer of size: ", "out of device memory allocating ", "Can't allocate "];

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn a_full_memory_is_named_and_other_reports_are_one_line() {
        let report = "An error happened during execution\nCaused by:\n  Several failures at once\nCaused by:\n  \
                      skipped `SliceAssignKernel`\nCaused by:\n  An IO error happened\nCaused by:\n  \
                      can't allocate buffer of size: 353894400\nNo backtrace available\n";
        assert!(
            reason(report).starts_with("its memory is full: an array of 354 MB"),
            "{}",
            reason(report)
        );
        let report = report.replace(
            "can't allocate buffer of size: 353894400",
            "out of device memory allocating 8 bytes",
        );
        assert!(
            reason(&report).starts_with("its memory is full: an array of 0 MB"),
            "{}",
            reason(&report)
        );
        let report = "An error happened during execution\nCaused by:\n  A launch failed\nCaused by:\n  \
                      the device was lost\n  0: some frame\n";
        assert_eq!(reason(report), "An error happened during execution: the device was lost");
        assert_eq!(reason(""), "no reason given");
        assert_eq!(reason("the driver left"), "the driver left");
    }
}
