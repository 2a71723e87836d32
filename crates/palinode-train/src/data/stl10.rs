//! STL-10, the official binary version: 5,000 + 8,000 labelled colour images of 96×96 in ten classes.
//!
//! An image is three planes, each column by column; labels are bytes from 1 to 10; a fold is a line of
//! indices into the training images. The 100,000 unlabelled images are not read.
//! Source: Coates, Lee & Ng 2011, and the data set's page.

use super::dataset::{Dataset, Split};
use crate::error::{Error, Result};
use palinode::file::read;
use std::path::{Path, PathBuf};

const SIDE: usize = 96;
const IMAGE: usize = 3 * SIDE * SIDE;

/// The predefined folds of 1,000 training images each.
pub(super) const FOLDS: usize = 10;

/// The classes' names, in the order of the labels.
const CLASSES: [&str; 10] =
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

/// The official archive's own folder, where `directory` holds it rather than the files.
fn folder(directory: &Path) -> PathBuf {
    let inner = directory.join("stl10_binary");
    if inner.is_dir() { inner } else { directory.to_owned() }
}

/// Whether `directory` holds a file of the split.
pub(super) fn holds(directory: &Path, split: Split) -> bool {
    files(directory, split).iter().any(|file| file.is_file())
}

/// The files of a split: images and labels.
fn files(directory: &Path, split: Split) -> [PathBuf; 2] {
    let folder = folder(directory);
    let stem = match split {
        Split::Train => "train",
        Split::Test => "test",
    };
    ["X", "y"].map(|what| folder.join(format!("{stem}_{what}.bin")))
}

/// Reads one split from a directory.
pub(super) fn load(directory: &Path, split: Split) -> Result<Dataset> {
    let [images, labels] = files(directory, split);
    assemble((&read(&images)?, &images), (&read(&labels)?, &labels))
}

/// Puts images and labels (each with the path they came from) together.
pub(super) fn assemble(images: (&[u8], &Path), labels: (&[u8], &Path)) -> Result<Dataset> {
    let (images, image_path) = images;
    let (labels, label_path) = labels;
    if images.is_empty() || !images.len().is_multiple_of(IMAGE) {
        let reason = format!("{} bytes are not a whole number of images of {IMAGE}", images.len());
        return Err(Error::format(image_path, reason));
    }
    if labels.len() * IMAGE != images.len() {
        let reason = format!("{} labels for {} images", labels.len(), images.len() / IMAGE);
        return Err(Error::format(label_path, reason));
    }
    if let Some(place) = labels.iter().position(|&label| !(1..=10).contains(&label)) {
        let reason = format!("label {} at offset {place} is not one of 1 to 10", labels[place]);
        return Err(Error::format(label_path, reason));
    }
    let mut turned = Vec::with_capacity(images.len());
    for plane in images.chunks(SIDE * SIDE) {
        for row in 0..SIDE {
            turned.extend((0..SIDE).map(|column| plane[column * SIDE + row]));
        }
    }
    Ok(Dataset::new(
        turned,
        labels.iter().map(|label| label - 1).collect(),
        3,
        [SIDE, SIDE],
        CLASSES.map(str::to_owned).to_vec(),
    ))
}

/// The training images of fold `number` (from 0).
pub(super) fn fold(directory: &Path, number: usize, images: usize) -> Result<Vec<usize>> {
    let path = folder(directory).join("fold_indices.txt");
    let bytes = read(&path)?;
    parse_fold(&bytes, number, images, &path)
}

/// Line `number` of a file of fold indices, which are below `images`.
pub(super) fn parse_fold(
    bytes: &[u8],
    number: usize,
    images: usize,
    path: &Path,
) -> Result<Vec<usize>> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::format(path, format!("not text: {error}")))?;
    let line = text.lines().nth(number).ok_or_else(|| {
        let lines = text.lines().count();
        Error::format(path, format!("fold {number} is missing; there are {lines} lines"))
    })?;
    let indices = line.split_whitespace().map(|word| {
        word.parse::<usize>().ok().filter(|&index| index < images).ok_or_else(|| {
            let reason = format!("line {}: `{word}` is not an index below {images}", number + 1);
            Error::format(path, reason)
        })
    });
    let indices: Vec<usize> = indices.collect::<Result<_>>()?;
    let mut sorted = indices.clone();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        // It might be trained on and validated with.
        let reason = format!("line {}: {} is there twice", number + 1, pair[0]);
        return Err(Error::format(path, reason));
    }
    if indices.is_empty() {
        return Err(Error::format(path, format!("line {} is empty", number + 1)));
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows_and_labels_begin_at_zero() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("stl10_binary");
        std::fs::create_dir(&inner).unwrap();
        let mut images = vec![0; 2 * IMAGE];
        // Second image, green, row 3, column 5: column by column that is 5·96 + 3.
        images[IMAGE + SIDE * SIDE + 5 * SIDE + 3] = 77;
        std::fs::write(inner.join("train_X.bin"), &images).unwrap();
        std::fs::write(inner.join("train_y.bin"), [10, 1]).unwrap();
        std::fs::write(inner.join("fold_indices.txt"), "1 0 \n1\n").unwrap();
        let found = load(folder.path(), Split::Train).unwrap();
        assert_eq!(found.labels, [9, 0]);
        assert_eq!(found.image(1)[SIDE * SIDE + 3 * SIDE + 5], 77);
        assert_eq!(found.image(1).iter().filter(|&&pixel| pixel > 0).count(), 1);
        assert_eq!(fold(folder.path(), 0, 2).unwrap(), [1, 0]);
        let message = |number, images| fold(folder.path(), number, images).unwrap_err().to_string();
        assert!(message(2, 2).contains("fold 2 is missing"));
        assert!(message(0, 1).contains("`1` is not an index below 1"));

        std::fs::write(inner.join("train_y.bin"), [10, 11]).unwrap();
        let message = load(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(
            message.contains("train_y.bin") && message.contains("label 11 at offset 1"),
            "{message}"
        );
        std::fs::write(inner.join("train_X.bin"), &images[1..]).unwrap();
        let message = load(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("train_X.bin") && message.contains("whole number"), "{message}");
    }
}
