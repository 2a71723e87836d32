//! Fashion-MNIST: 60,000 + 10,000 grey images of 28×28 in ten classes.

use super::dataset::{Dataset, Split};
use super::idx::parse;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader};
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
    let images = find(directory, split, "images", 3)?;
    let labels = find(directory, split, "labels", 1)?;
    let open = |path: &Path| File::open(path).map(BufReader::new).map_err(Error::io(path));
    assemble((open(&images)?, &images), (open(&labels)?, &labels))
}

/// Whether `directory` holds a file of the split.
pub(super) fn holds(directory: &Path, split: Split) -> bool {
    [("images", 3), ("labels", 1)]
        .iter()
        .any(|(what, dimensions)| find(directory, split, what, *dimensions).is_ok())
}

/// The file of a split's images or labels.
///
/// It is called `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, with or without `.gz`; it may be
/// in a folder of its own name, as Kaggle packs it; and all may be in `raw` or `FashionMNIST/raw`, where
/// PyTorch puts them.
fn find(directory: &Path, split: Split, what: &str, dimensions: usize) -> Result<PathBuf> {
    let stem = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let folders = ["", "raw", "FashionMNIST/raw"].map(|folder| directory.join(folder));
    for folder in &folders {
        for separator in ["-", "."] {
            let name = format!("{stem}-{what}{separator}idx{dimensions}-ubyte");
            for ending in ["", ".gz"] {
                let path = folder.join(format!("{name}{ending}"));
                for path in [path.clone(), path.join(&name)] {
                    if path.is_file() {
                        return Ok(path);
                    }
                }
            }
        }
    }
    let expected = directory.join(format!("{stem}-{what}-idx{dimensions}-ubyte"));
    let reason = "no such file, with or without .gz";
    Err(Error::io(&expected)(std::io::Error::new(std::io::ErrorKind::NotFound, reason)))
}

/// Puts images and labels (each with the path they came from) together.
pub(super) fn assemble(
    images: (impl BufRead, &Path),
    labels: (impl BufRead, &Path),
) -> Result<Dataset> {
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
    let dataset = Dataset::new(
        images.bytes,
        labels.bytes,
        1,
        [rows, columns],
        CLASSES.map(str::to_owned).to_vec(),
    );
    dataset.check_labels(label_path)?;
    Ok(dataset.padded(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, extents: &[u32], bytes: usize) {
        let mut file = vec![0, 0, 8, extents.len() as u8];
        file.extend(extents.iter().flat_map(|extent| extent.to_be_bytes()));
        file.extend(vec![1; bytes]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }

    #[test]
    fn files_are_found_under_the_names_that_others_give_them() {
        for name in [
            "t10k-images-idx3-ubyte",
            "t10k-images.idx3-ubyte",
            "t10k-images-idx3-ubyte.gz",
            "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte",
            "t10k-images.idx3-ubyte/t10k-images.idx3-ubyte",
            "raw/t10k-images-idx3-ubyte",
            "FashionMNIST/raw/t10k-images-idx3-ubyte.gz",
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert!(!holds(folder.path(), Split::Test));
            write(&folder.path().join(name), &[2, 28, 28], 2 * 28 * 28);
            let labels = name.replace("images", "labels").replace("idx3", "idx1");
            write(&folder.path().join(labels), &[2], 2);
            assert!(
                holds(folder.path(), Split::Test) && !holds(folder.path(), Split::Train),
                "{name}"
            );
            let found = load(folder.path(), Split::Test).unwrap();
            assert_eq!((found.len(), found.labels.clone()), (2, vec![1, 1]), "{name}");
            let message = load(folder.path(), Split::Train).unwrap_err().to_string();
            assert!(message.contains("train-images-idx3-ubyte: no such file"), "{message}");
        }
    }
}
