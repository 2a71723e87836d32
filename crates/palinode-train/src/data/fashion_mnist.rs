//! Fashion-MNIST: 60,000 + 10,000 grey images of 28×28 in ten classes.

use super::dataset::{Dataset, Split};
use super::idx::parse;
use crate::error::{Error, Result};
use palinode::file::read;
use std::path::{Path, PathBuf};

/// Where Debian's package `dataset-fashion-mnist` puts it.
pub(super) const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

/// The classes' names (Xiao, Rasul & Vollgraf 2017).
const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Reads one split from a directory of IDX files, gzipped or not; images are padded to 32×32.
pub(super) fn load(directory: &Path, split: Split) -> Result<Dataset> {
    let stem = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let images = find(directory, &format!("{stem}-images-idx3-ubyte"))?;
    let labels = find(directory, &format!("{stem}-labels-idx1-ubyte"))?;
    assemble((&read(&images)?, &images), (&read(&labels)?, &labels))
}

/// The file `name` or `name.gz`.
fn find(directory: &Path, name: &str) -> Result<PathBuf> {
    let candidates = [directory.join(name), directory.join(format!("{name}.gz"))];
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let reason = "no such file, with or without .gz";
        Error::io(&candidates[0])(std::io::Error::new(std::io::ErrorKind::NotFound, reason))
    })
}

/// Puts images and labels (each with the path they came from) together.
pub(super) fn assemble(images: (&[u8], &Path), labels: (&[u8], &Path)) -> Result<Dataset> {
    let (image_path, label_path) = (images.1, labels.1);
    let images = parse(images.0, 3, image_path)?;
    let labels = parse(labels.0, 1, label_path)?;
    let (count, rows, columns) = (images.shape[0], images.shape[1], images.shape[2]);
    if [rows, columns] != [28, 28] {
        return Err(Error::format(
            image_path,
            format!("images are {rows}×{columns}, expected 28×28"),
        ));
    }
    if labels.shape[0] != count {
        return Err(Error::format(
            label_path,
            format!("{} labels for {count} images", labels.shape[0]),
        ));
    }
    let dataset = Dataset {
        images: images.bytes,
        labels: labels.bytes,
        channels: 1,
        size: [rows, columns],
        padding: 0,
        classes: CLASSES.map(str::to_owned).to_vec(),
    };
    dataset.check_labels(label_path)?;
    Ok(dataset.padded(2))
}
