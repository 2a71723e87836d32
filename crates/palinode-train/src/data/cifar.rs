//! CIFAR-10 and CIFAR-100, the official binary versions.
//!
//! A record is the label (CIFAR-100: the coarse one, then the fine one) and 3,072 bytes, red, green
//! and blue planes of 32×32. Source: A. Krizhevsky's CIFAR page.

use super::dataset::{Dataset, Split};
use crate::error::{Error, Result};
use palinode::file::read;
use std::path::{Path, PathBuf};

/// CIFAR-10 or CIFAR-100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cifar {
    Ten,
    Hundred,
}

const IMAGE: usize = 3 * 32 * 32;

/// The classes of CIFAR-10, in the order of the labels.
const TEN: &str = "airplane automobile bird cat deer dog frog horse ship truck";

/// The classes of CIFAR-100, in the order of the fine labels.
const HUNDRED: &str = "
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
    can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
    dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
    pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
    seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
    tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
    worm";

impl Cifar {
    fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    /// Bytes before the image in a record; the last of them is the label.
    fn label_bytes(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }

    fn files(self, split: Split) -> Vec<String> {
        match (self, split) {
            (Self::Ten, Split::Train) => (1..=5).map(|i| format!("data_batch_{i}.bin")).collect(),
            (Self::Ten, Split::Test) => vec!["test_batch.bin".into()],
            (Self::Hundred, Split::Train) => vec!["train.bin".into()],
            (Self::Hundred, Split::Test) => vec!["test.bin".into()],
        }
    }

    /// The official archive's own folder, where `directory` holds it rather than the files.
    fn folder(self, directory: &Path) -> PathBuf {
        let inner = directory.join(match self {
            Self::Ten => "cifar-10-batches-bin",
            Self::Hundred => "cifar-100-binary",
        });
        if inner.is_dir() { inner } else { directory.to_owned() }
    }

    /// Whether `directory` holds a file of the split.
    pub fn holds(self, directory: &Path, split: Split) -> bool {
        let folder = self.folder(directory);
        self.files(split).iter().any(|file| folder.join(file).is_file())
    }

    /// Class names from the archive's text file, or its authors' names where there is no such file.
    fn names(self, folder: &Path) -> Result<Vec<String>> {
        let file = match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        };
        let path = folder.join(file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let names = match self {
                    Self::Ten => TEN,
                    Self::Hundred => HUNDRED,
                };
                return Ok(names.split_whitespace().map(str::to_owned).collect());
            }
            Err(error) => return Err(Error::io(path)(error)),
        };
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        if names.len() != self.classes() {
            let reason = format!("{} names, expected {}", names.len(), self.classes());
            return Err(Error::format(path, reason));
        }
        Ok(names)
    }

    /// Reads one split from a directory.
    pub fn load(self, directory: &Path, split: Split) -> Result<Dataset> {
        let folder = self.folder(directory);
        let mut dataset = Dataset::new(Vec::new(), Vec::new(), 3, [32, 32], self.names(&folder)?);
        for file in self.files(split) {
            let path = folder.join(file);
            let start = dataset.len();
            self.parse(&read(&path)?, &path, &mut dataset)?;
            let new = start..dataset.len();
            let classes = self.classes();
            if let Some(i) = new.clone().find(|&i| usize::from(dataset.labels[i]) >= classes) {
                return Err(Error::format(
                    &path,
                    format!(
                        "label {} of record {} (offset {}) is not below {classes}",
                        dataset.labels[i],
                        i - start,
                        (i - start) * (self.label_bytes() + IMAGE) + self.label_bytes() - 1,
                    ),
                ));
            }
        }
        Ok(dataset)
    }

    fn parse(self, bytes: &[u8], path: &Path, dataset: &mut Dataset) -> Result<()> {
        let record = self.label_bytes() + IMAGE;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            return Err(Error::format(
                path,
                format!("{} bytes are not a whole number of records of {record}", bytes.len()),
            ));
        }
        for record in bytes.chunks(record) {
            let (label, image) = record.split_at(self.label_bytes());
            dataset.labels.extend(label.last());
            dataset.images.extend(image);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, cifar: Cifar, labels: &[u8]) {
        let mut bytes = Vec::new();
        for &label in labels {
            bytes.extend(vec![0; cifar.label_bytes() - 1]);
            bytes.push(label);
            bytes.extend((0..IMAGE).map(|i| (i / 1024) as u8 + label));
        }
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn reads_both_in_order_with_planes_as_channels() {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=5 {
            write(folder.path(), &format!("data_batch_{i}.bin"), Cifar::Ten, &[i, 9]);
        }
        let train = Cifar::Ten.load(folder.path(), Split::Train).unwrap();
        assert_eq!(train.labels, [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
        assert_eq!(train.image(2)[1024], 3, "the green plane of the third image");
        let inner = folder.path().join("cifar-100-binary");
        std::fs::create_dir(&inner).unwrap();
        write(&inner, "test.bin", Cifar::Hundred, &[99]);
        let test = Cifar::Hundred.load(folder.path(), Split::Test).unwrap();
        assert_eq!((test.labels.as_slice(), test.classes.len()), (&[99][..], 100));
        assert!(test.classes.is_sorted() && test.classes[99] == "worm");
        assert_eq!((train.classes.len(), train.classes[9].as_str()), (10, "truck"));
    }

    #[test]
    fn says_which_record_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "test_batch.bin", Cifar::Ten, &[3, 10]);
        let message = |split| Cifar::Ten.load(folder.path(), split).unwrap_err().to_string();
        assert!(message(Split::Test).contains("label 10 of record 1 (offset 3073)"));
        assert!(message(Split::Train).contains("data_batch_1.bin"));
        let path = folder.path().join("test_batch.bin");
        std::fs::write(path, [0; 100]).unwrap();
        assert!(message(Split::Test).contains("100 bytes are not a whole number"));
    }
}
