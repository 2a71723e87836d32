//! The IDX format of MNIST and its relatives, plain or gzipped.
//!
//! Two zero bytes, a type byte (8: unsigned bytes), the number of dimensions, each dimension as a
//! big-endian u32, then the elements. Source: Y. LeCun's MNIST page.

use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use palinode::memory::check_available;
use std::io::{BufRead, Read};
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
/// No more is read than the header announces, whatever a gzipped file unpacks to.
///
/// # Errors
/// [`palinode::Error::Format`] for every way a file can be wrong, with the offset;
/// [`palinode::Error::Memory`] where the header announces more than there is memory for.
pub fn parse(mut file: impl BufRead, dimensions: usize, path: &Path) -> Result<IdxArray> {
    let start = file.fill_buf().map_err(Error::io(path))?;
    match start.starts_with(&[0x1f, 0x8b]) {
        true => parse_plain(GzDecoder::new(file), dimensions, path, &|error| {
            Error::format(path, format!("broken gzip data: {error}"))
        }),
        false => parse_plain(file, dimensions, path, &|error| Error::io(path)(error)),
    }
}

fn parse_plain(
    mut file: impl Read,
    dimensions: usize,
    path: &Path,
    failed: &dyn Fn(std::io::Error) -> Error,
) -> Result<IdxArray> {
    let refuse = |reason: String| Err(Error::format(path, reason));
    let length = 4 + 4 * dimensions;
    let mut header = Vec::new();
    file.by_ref().take(length as u64).read_to_end(&mut header).map_err(failed)?;
    if header.len() < length {
        return refuse(format!("{} bytes, too short for an IDX header of {length}", header.len()));
    }
    let magic = [0, 0, 8, dimensions as u8];
    if header[..4] != magic {
        let found = &header[..4];
        return refuse(format!("magic number at offset 0 is {found:02x?}, expected {magic:02x?}"));
    }
    let (extents, _) = header[4..].as_chunks::<4>();
    let shape: Vec<usize> =
        extents.iter().map(|&extent| u32::from_be_bytes(extent) as usize).collect();
    let elements = shape.iter().try_fold(1_u64, |product, &n| product.checked_mul(n as u64));
    let Some(elements) = elements.filter(|&elements| elements <= LARGEST) else {
        return refuse(format!(
            "header at offset 4 announces {shape:?} elements; none of the known data sets has more than \
             {LARGEST}"
        ));
    };
    check_available(&[("the images", elements)])?;
    let mut bytes = Vec::new();
    // One byte more than announced, to notice that there are more.
    file.take(elements + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != elements {
        let follow = match bytes.len() as u64 > elements {
            true => "more bytes follow it".to_owned(),
            false => format!("{} bytes follow it", bytes.len()),
        };
        return refuse(format!("header at offset 4 announces {shape:?} elements, but {follow}"));
    }
    Ok(IdxArray { shape, bytes })
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
        let array = parse(&file(&[2, 3], 6)[..], 2, Path::new("x")).unwrap();
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

    /// A file that would unpack to gigabytes is refused after what its header announces.
    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &file(&[2, 3], 6)).unwrap();
        for _ in 0..64 {
            std::io::Write::write_all(&mut gzip, &[0; 1 << 20]).unwrap();
        }
        let bytes = gzip.finish().unwrap();
        let mut read = 0;
        let counted = std::io::BufReader::with_capacity(64, Counted(&bytes, &mut read));
        let message = parse(counted, 2, Path::new("bomb.gz")).unwrap_err().to_string();
        assert!(message.contains("bomb.gz") && message.contains("more bytes follow"), "{message}");
        assert!(read < 1 << 16, "{read} of {} bytes were read", bytes.len());
    }

    /// Counts the bytes that are read.
    struct Counted<'a>(&'a [u8], &'a mut usize);

    impl Read for Counted<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.read(into)?;
            *self.1 += count;
            Ok(count)
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_data_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes[..], 1, Path::new("x"));
            let mut gzip = vec![0x1f, 0x8b, 8, 0];
            gzip.extend(&bytes);
            let _ = parse(&gzip[..], 3, Path::new("x"));
        }
    }
}
