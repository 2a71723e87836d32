//! A checksum over a whole file, written into it.
//!
//! The file has a place for eight hexadecimal digits. The checksum is the CRC-32C of the file with zeros
//! in that place.

use crate::error::{Error, Result};
use std::path::Path;

/// What the place holds before the checksum is known.
pub(super) const PLACEHOLDER: &str = "00000000";

/// Writes the checksum into `bytes`, behind the first occurrence of `mark`, where [`PLACEHOLDER`] is.
pub(super) fn seal(bytes: &mut [u8], mark: &str, path: &Path) -> Result<()> {
    let place = place(bytes, mark, path)?;
    let sum = format!("{:08x}", crc32c::crc32c(bytes));
    bytes[place..place + PLACEHOLDER.len()].copy_from_slice(sum.as_bytes());
    Ok(())
}

/// Checks the checksum of a file that [`seal`] has written.
///
/// # Errors
/// [`palinode::Error::Format`] where it has none, or another one than its bytes have.
pub(super) fn verify(bytes: &[u8], mark: &str, path: &Path) -> Result<()> {
    if cfg!(fuzzing) {
        // No input of a fuzzer would get past the checksum.
        return Ok(());
    }
    let place = place(bytes, mark, path)?;
    let written = String::from_utf8_lossy(&bytes[place..place + PLACEHOLDER.len()]).into_owned();
    let sum = crc32c::crc32c(&bytes[..place]);
    let sum = crc32c::crc32c_append(sum, PLACEHOLDER.as_bytes());
    let sum = crc32c::crc32c_append(sum, &bytes[place + PLACEHOLDER.len()..]);
    let found = format!("{sum:08x}");
    match found == written {
        true => Ok(()),
        false => {
            Err(Error::format(path, format!("damaged: its checksum is {found}, not {written}")))
        }
    }
}

fn place(bytes: &[u8], mark: &str, path: &Path) -> Result<usize> {
    let found = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
    let place = found.map(|at| at + mark.len());
    place
        .filter(|place| place + PLACEHOLDER.len() <= bytes.len())
        .ok_or_else(|| Error::format(path, "damaged: it has no checksum"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let path = Path::new("file");
        let mut bytes = b"head sum=00000000 tail".to_vec();
        seal(&mut bytes, "sum=", path).unwrap();
        verify(&bytes, "sum=", path).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let message = verify(&damaged, "sum=", path).unwrap_err().to_string();
            assert!(message.starts_with("file: damaged"), "bit {bit}: {message}");
        }
        assert!(verify(b"sum=1234", "sum=", path).is_err());
        assert!(verify(b"", "sum=", path).is_err());
    }
}
