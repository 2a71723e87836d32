//! The IDX format of MNIST and its relatives, plain or gzipped.
//!
//! Two zero bytes, a type byte (8: unsigned bytes), the number of dimensions, each dimension as a
//! big-endian u32, then the elements. Source: Y. LeCun's MNIST page.

use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

/// No file of this project's data sets is larger. A file that claims to be is refused.
const LARGEST: u64 = 1 << 30;

/// An array of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub bytes: Vec<u8>,
}

/// Parses an IDX file of unsigned bytes with `dimensions` dimensions; `path` is for messages.
///
/// # Errors
/// [`palinode::Error::Format`] for every way a file can be wrong, with the offset.
pub fn parse(bytes: &[u8], dimensions: usize, path: &Path) -> Result<IdxArray> {
    let unpacked;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut content = Vec::new();
        GzDecoder::new(bytes)
            .take(LARGEST + 1)
            .read_to_end(&mut content)
            .map_err(|error| Error::format(path, format!("broken gzip data: {error}")))?;
        unpacked = content;
        &unpacked
    } else {
        bytes
    };
    if bytes.len() as u64 > LARGEST {
        return Err(Error::format(path, "larger than 1 GiB; not one of the known data sets"));
    }
    let header = 4 + 4 * dimensions;
    if bytes.len() < header {
        return Err(Error::format(
            path,
            format!("{} bytes, too short for an IDX header of {header}", bytes.len()),
        ));
    }
    let magic = [0, 0, 8, dimensions as u8];
    if bytes[..4] != magic {
        return Err(Error::format(
            path,
            format!("magic number at offset 0 is {:02x?}, expected {magic:02x?}", &bytes[..4]),
        ));
    }
    let (extents, _) = bytes[4..header].as_chunks::<4>();
    let shape: Vec<usize> =
        extents.iter().map(|&extent| u32::from_be_bytes(extent) as usize).collect();
    let elements = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
    let content = &bytes[header..];
    if elements != Some(content.len()) {
        return Err(Error::format(
            path,
            format!(
                "header at offset 4 announces {shape:?} elements, but {} bytes follow it",
                content.len()
            ),
        ));
    }
    Ok(IdxArray { shape, bytes: content.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(shape: &[u32], elements: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|extent| extent.to_be_bytes()));
        bytes.extend((0..elements).map(|i| i as u8));
        bytes
    }

    #[test]
    fn reads_what_was_written() {
        let array = parse(&file(&[2, 3], 6), 2, Path::new("x")).unwrap();
        assert_eq!(array, IdxArray { shape: vec![2, 3], bytes: vec![0, 1, 2, 3, 4, 5] });
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let message = |bytes: &[u8]| parse(bytes, 2, Path::new("f.gz")).unwrap_err().to_string();
        assert!(message(&file(&[2, 3], 5)).contains("5 bytes follow"));
        assert!(message(&file(&[6], 6)[..7]).contains("too short"));
        assert!(message(&file(&[6, 1, 1], 6)).contains("magic number at offset 0"));
        assert!(message(&[0x1f, 0x8b, 8, 0, 1]).contains("gzip"));
        assert!(message(&file(&[u32::MAX, u32::MAX], 0)).contains("announces"));
        assert!(message(&[]).starts_with("f.gz: "));
    }

    proptest! {
        #[test]
        fn any_bytes_give_data_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes, 1, Path::new("x"));
            let mut gzip = vec![0x1f, 0x8b, 8, 0];
            gzip.extend(&bytes);
            let _ = parse(&gzip, 3, Path::new("x"));
        }
    }
}
