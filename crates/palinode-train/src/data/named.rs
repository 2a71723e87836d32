//! Data sets by name.

use super::cifar::Cifar;
use super::classes::Relabelled;
use super::dataset::Split;
use super::folder::{self, FolderOptions};
use super::image_source::ImageSource;
use super::kept::Room;
use super::statistics::Mean;
use super::survey::Survey;
use super::{fashion_mnist, mini, stl10};
use crate::error::{Error, Result};
use palinode::network::DataInfo;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A data set's name in recipes and on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceName {
    /// The embedded subset of Fashion-MNIST: 6,000 + 1,000 images.
    #[default]
    FashionMnistMini,
    /// Fashion-MNIST: 60,000 + 10,000 images, IDX, from a directory.
    FashionMnist,
    /// CIFAR-10: 50,000 + 10,000 images, official binary version, from a directory.
    #[serde(rename = "cifar-10")]
    Cifar10,
    /// CIFAR-100: 50,000 + 10,000 images, official binary version, from a directory.
    #[serde(rename = "cifar-100")]
    Cifar100,
    /// STL-10: 5,000 + 8,000 images of 96×96, official binary version, from a directory.
    #[serde(rename = "stl-10")]
    Stl10,
    /// Your own pictures, in folders.
    Folder,
}

impl SourceName {
    /// Every data set.
    pub const ALL: [Self; 6] = [
        Self::FashionMnistMini,
        Self::FashionMnist,
        Self::Cifar10,
        Self::Cifar100,
        Self::Stl10,
        Self::Folder,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::FashionMnistMini => "fashion-mnist-mini",
            Self::FashionMnist => "fashion-mnist",
            Self::Cifar10 => "cifar-10",
            Self::Cifar100 => "cifar-100",
            Self::Stl10 => "stl-10",
            Self::Folder => "folder",
        }
    }

    /// The data set of that name.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] listing the names where there is none.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|source| source.name() == name)
            .ok_or_else(|| Error::unknown("data.name", "data set", name, Self::ALL.map(Self::name)))
    }

    /// One split, from `directory` or from where it is usually installed. Pictures in folders are decoded each time they are
    /// read ([`Room::keep`] keeps some); the other data sets are read now.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where no directory is known, [`palinode::Error::Io`] and
    /// [`palinode::Error::Format`] for files that are missing or broken.
    pub fn load(self, directory: Option<&Path>, split: Split) -> Result<Arc<dyn ImageSource>> {
        self.load_as(directory, split, FolderOptions::default())
    }

    /// [`load`](Self::load), where pictures in folders become what `options` say.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_as(
        self,
        directory: Option<&Path>,
        split: Split,
        options: FolderOptions,
    ) -> Result<Arc<dyn ImageSource>> {
        let directory = directory.map(Path::to_owned).or_else(|| self.installed());
        let loaded = match (self, directory) {
            (Self::FashionMnistMini, None) => mini::load(split),
            (Self::FashionMnistMini, Some(_)) => Err(Error::config(
                "data.dir",
                "fashion-mnist-mini is part of the program and takes no directory",
            )),
            (Self::FashionMnist, Some(directory)) => fashion_mnist::load(&directory, split),
            (Self::Cifar10, Some(directory)) => Cifar::Ten.load(&directory, split),
            (Self::Cifar100, Some(directory)) => Cifar::Hundred.load(&directory, split),
            (Self::Stl10, Some(directory)) => stl10::load(&directory, split),
            (Self::Folder, Some(directory)) => {
                return Ok(Arc::new(folder::list(&directory, split, options)?));
            }
            (Self::Folder, None) => {
                let reason = "name the directory that holds train/CLASS/ and test/CLASS/";
                Err(Error::config("data.dir", reason))
            }
            (_, None) => Err(self.not_installed()),
        };
        match loaded {
            Ok(dataset) => Ok(Arc::new(dataset)),
            Err(Error::Library(palinode::Error::Io { path, reason }))
                if self != Self::Folder && reason.kind() == ErrorKind::NotFound =>
            {
                let hint = format!("{reason}; `palinode data fetch {}` downloads it", self.name());
                Err(Error::io(path)(std::io::Error::new(ErrorKind::NotFound, hint)))
            }
            Err(error) => Err(error),
        }
    }

    /// One split as images for a network that was trained on images like those of `info`: pictures
    /// in folders become such images, and classes are matched by name ([`Relabelled`]). Such pictures are read once here;
    /// those that fit into half of the free memory stay there.
    ///
    /// Pictures of more than `largest_side` rows or columns (default: 16,384) are refused.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`palinode::Error::Config`] where channels, size or classes do not fit, and naming the first
    /// ten pictures that cannot be read.
    pub fn load_for(
        self,
        directory: Option<&Path>,
        split: Split,
        info: &DataInfo,
        largest_side: Option<u32>,
    ) -> Result<Relabelled<Arc<dyn ImageSource>>> {
        let options = FolderOptions::of(info).with_largest_side(largest_side);
        let images = self.load_as(directory, split, options)?;
        let (found, expected) = ((images.channels(), images.size()), (info.channels, info.size));
        if found != expected {
            let reason = format!(
                "(channels, size) of {} are {found:?}, the weights expect {expected:?}",
                self.name()
            );
            return Err(Error::config("data", reason));
        }
        let images = Relabelled::new(Room::half_of_free().keep(images), &info.classes)?;
        if images.listing().is_some() {
            Survey::of(&images, Mean::Channel)?;
        }
        Ok(images)
    }

    /// Whether a file of a split is in `directory`, or where the data set is usually installed.
    pub fn holds(self, directory: Option<&Path>, split: Split) -> bool {
        let directory = directory.map(Path::to_owned).or_else(|| self.installed());
        match (self, directory) {
            (Self::FashionMnistMini, _) => true,
            (_, None) => false,
            (Self::FashionMnist, Some(directory)) => fashion_mnist::holds(&directory, split),
            (Self::Cifar10, Some(directory)) => Cifar::Ten.holds(&directory, split),
            (Self::Cifar100, Some(directory)) => Cifar::Hundred.holds(&directory, split),
            (Self::Stl10, Some(directory)) => stl10::holds(&directory, split),
            (Self::Folder, Some(directory)) => folder::holds(&directory, split),
        }
    }

    fn not_installed(self) -> Error {
        let name = self.name();
        let reason = format!(
            "{name} is not installed here; give the directory it is in, or `palinode data fetch {name}`"
        );
        Error::config("data.dir", reason)
    }

    /// The training images of a predefined fold (from 0), of `images` images in all.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where the data set has no such fold, [`palinode::Error::Io`] and [`palinode::Error::Format`] for
    /// its file.
    pub fn fold(
        self,
        directory: Option<&Path>,
        number: usize,
        images: usize,
    ) -> Result<Vec<usize>> {
        if self != Self::Stl10 {
            let reason = format!("{} has no predefined folds; stl-10 has", self.name());
            return Err(Error::config("data.fold", reason));
        }
        if number >= stl10::FOLDS {
            let reason = format!("{number} is not below {}", stl10::FOLDS);
            return Err(Error::config("data.fold", reason));
        }
        match directory.map(Path::to_owned).or_else(|| self.installed()) {
            Some(directory) => stl10::fold(&directory, number, images),
            None => Err(self.not_installed()),
        }
    }

    /// Where `palinode data fetch` or the operating system's package puts it, if it is there.
    pub fn installed(self) -> Option<PathBuf> {
        let fetched = Path::new("data").join(self.name());
        match self {
            Self::FashionMnist => {
                let places = [fetched, PathBuf::from(fashion_mnist::DEBIAN)];
                places.into_iter().find(|place| {
                    [Split::Train, Split::Test]
                        .iter()
                        .any(|split| fashion_mnist::holds(place, *split))
                })
            }
            Self::Cifar10 => Some(fetched).filter(|place| Cifar::Ten.holds(place, Split::Test)),
            Self::Cifar100 => {
                Some(fetched).filter(|place| Cifar::Hundred.holds(place, Split::Test))
            }
            Self::Stl10 => Some(fetched).filter(|place| stl10::holds(place, Split::Test)),
            Self::FashionMnistMini | Self::Folder => None,
        }
    }
}
