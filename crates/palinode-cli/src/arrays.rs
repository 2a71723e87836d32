//! `.npy` files in and out.

use anyhow::Context;
use npyz::WriterBuilder;
use palinode::write_atomically;
use std::path::Path;

/// Reads a little-endian array with its shape.
pub fn read<T: npyz::Deserialize>(path: &Path) -> anyhow::Result<(Vec<usize>, Vec<T>)> {
    let place = || path.display().to_string();
    let bytes = std::fs::read(path).with_context(place)?;
    let file = npyz::NpyFile::new(&bytes[..]).with_context(place)?;
    anyhow::ensure!(
        file.order() == npyz::Order::C || file.shape().len() < 2,
        "{}: the array is in Fortran order, expected C order",
        path.display()
    );
    let shape: Vec<usize> = file.shape().iter().map(|&extent| extent as usize).collect();
    let values = file.into_vec::<T>().with_context(place)?;
    Ok((shape, values))
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
