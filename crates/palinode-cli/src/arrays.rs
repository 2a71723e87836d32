//! `.npy` files in and out.

use anyhow::{Context, anyhow, ensure};
use npyz::WriterBuilder;
use palinode::file::write_atomically;
use palinode::network::Network;
use palinode_train::data::DECODER_THREAD;
use std::path::Path;
use std::thread::Builder;

/// Brackets in the header of an array of numbers: a dictionary and a tuple. Where they are nested, the parser's
/// time doubles with each of them.
const MOST_BRACKETS: usize = 4;

/// Reads a little-endian array with its shape.
pub fn read<T: npyz::Deserialize + Send>(path: &Path) -> anyhow::Result<(Vec<usize>, Vec<T>)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    // A header may name extents whose product is too large for the parser: its panic becomes an error.
    let parsed = std::thread::scope(|threads| {
        let parser = Builder::new().name(DECODER_THREAD.to_owned());
        let parser = parser.spawn_scoped(threads, || parse(&bytes))?;
        parser.join().unwrap_or_else(|_| Err(anyhow!("the header of the array is not valid")))
    });
    parsed.with_context(|| path.display().to_string())
}

fn parse<T: npyz::Deserialize>(bytes: &[u8]) -> anyhow::Result<(Vec<usize>, Vec<T>)> {
    let header = &bytes[..header_len(bytes).min(bytes.len())];
    let opened = header.iter().filter(|byte| b"([{".contains(byte)).count();
    ensure!(
        opened <= MOST_BRACKETS,
        "its header opens {opened} brackets; that of an array of numbers has {MOST_BRACKETS} at the most"
    );
    let file = npyz::NpyFile::new(bytes)?;
    ensure!(
        file.order() == npyz::Order::C || file.shape().len() < 2,
        "the array is in Fortran order, expected C order"
    );
    let shape: Vec<usize> = file.shape().iter().map(|&extent| extent as usize).collect();
    let elements = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
    let announced = elements.and_then(|n| n.checked_mul(size_of::<T>()));
    let values = file.into_vec::<T>()?;
    ensure!(
        elements == Some(values.len()) && announced == Some(bytes.len() - header_len(bytes)),
        "shape {shape:?} does not fit the {} bytes of the file",
        bytes.len()
    );
    Ok((shape, values))
}

/// Bytes before the elements; the reader has accepted the file, so they are all there.
fn header_len(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => 10 + usize::from(u16::from_le_bytes([*a, *b])),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => {
            12 + u32::from_le_bytes([*a, *b, *c, *d]) as usize
        }
        _ => bytes.len(),
    }
}

/// Writes a float32 array, atomically.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> anyhow::Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&extent| extent as u64).collect();
    let mut bytes = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(write_atomically(path, &bytes)?)
}

/// Reads an array of standardised images that suits the network.
pub fn read_images(path: &Path, network: &Network) -> anyhow::Result<([usize; 4], Vec<f32>)> {
    let (shape, values) = read::<f32>(path)?;
    let config = network.config();
    let expected = [config.channels, config.size[0], config.size[1]];
    ensure!(
        shape.len() == 4 && shape[1..] == expected,
        "{}: shape {shape:?}, expected [n, {}, {}, {}]",
        path.display(),
        expected[0],
        expected[1],
        expected[2]
    );
    ensure!(shape[0] > 0, "{}: holds no image", path.display());
    Ok(([shape[0], shape[1], shape[2], shape[3]], values))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read back; cut off anywhere, or with any byte of its header changed, it is
    /// read or refused by name.
    #[test]
    fn any_damage_is_read_or_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("array.npy");
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        write(&path, &[3, 4], &values).unwrap();
        assert_eq!(read::<f32>(&path).unwrap(), (vec![3, 4], values));

        let whole = std::fs::read(&path).unwrap();
        let damaged = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            match read::<f32>(&path) {
                Ok((shape, values)) => assert_eq!(shape.iter().product::<usize>(), values.len()),
                Err(error) => assert!(format!("{error:#}").contains("array.npy"), "{error:#}"),
            }
        };
        let nested = [&whole[..30], &[b'{'; 40], &whole[70..]].concat();
        std::fs::write(&path, nested).unwrap();
        let message = format!("{:#}", read::<f32>(&path).unwrap_err());
        assert!(message.contains("array.npy: its header opens 41 brackets"), "{message}");
        for end in 0..whole.len() {
            damaged(&whole[..end]);
        }
        for at in 0..header_len(&whole) {
            for byte in [0, 9, b' ', b'9', b'(', b'\'', 0x7f, 0xff, whole[at] ^ 1] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                damaged(&bytes);
            }
        }
    }
}
