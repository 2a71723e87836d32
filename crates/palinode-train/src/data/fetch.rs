//! Data sets from their authors' servers.

use super::archive::unpack;
use super::download::{Download, Patience};
use super::named::SourceName;
use crate::error::{Error, Result};
use palinode::file::write_atomically;
use std::path::Path;

/// A file of a data set as its authors publish it.
struct Published {
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
    /// Whether it is an archive to be unpacked.
    archive: bool,
}

/// Largest total size of an unpacked archive. STL-10, the largest, has 3.1 GB.
const LARGEST: u64 = 4 << 30;

/// The address of a data set, and its files there.
fn published(source: SourceName) -> Option<(&'static str, &'static [Published])> {
    const fn file(name: &'static str, bytes: u64, sha256: &'static str) -> Published {
        Published { name, bytes, sha256, archive: false }
    }
    const fn archive(name: &'static str, bytes: u64, sha256: &'static str) -> Published {
        Published { name, bytes, sha256, archive: true }
    }
    const FASHION_MNIST: &[Published] = &[
        file(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        file(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        file(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        file(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ];
    const CIFAR_10: &[Published] = &[archive(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    )];
    const CIFAR_100: &[Published] = &[archive(
        "cifar-100-binary.tar.gz",
        168_513_733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    )];
    const STL_10: &[Published] = &[archive(
        "stl10_binary.tar.gz",
        2_640_397_119,
        "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
    )];
    match source {
        SourceName::FashionMnist => {
            Some(("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", FASHION_MNIST))
        }
        SourceName::Cifar10 => Some(("https://www.cs.toronto.edu/~kriz", CIFAR_10)),
        SourceName::Cifar100 => Some(("https://www.cs.toronto.edu/~kriz", CIFAR_100)),
        SourceName::Stl10 => Some(("http://ai.stanford.edu/~acoates/stl10", STL_10)),
        SourceName::FashionMnistMini | SourceName::Folder => None,
    }
}

/// Downloads data set `source` into `directory` and unpacks it, so that it can be read from there.
///
/// Files come from the authors' address, or from `mirror`, which has them under the same names. Files
/// that are already there are not downloaded again, and interrupted downloads continue. A file is used
/// only if its SHA-256 is the published one. `progress` is called with (file, bytes so far, all bytes).
///
/// # Errors
/// [`palinode::Error::Config`] where there is nothing to download, [`Error::Download`] naming the address,
/// [`palinode::Error::Io`] naming the file.
pub fn fetch(
    source: SourceName,
    mirror: Option<&str>,
    directory: &Path,
    patience: Patience,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<()> {
    let Some((official, files)) = published(source) else {
        let reason = format!("{} is not downloaded from anywhere", source.name());
        return Err(Error::config("data.name", reason));
    };
    let base = mirror.unwrap_or(official).trim_end_matches('/');
    let new: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
    std::fs::create_dir_all(directory).map_err(Error::io(directory))?;
    let fetched = fetch_files(base, files, directory, patience, progress);
    if fetched.is_err() {
        // An empty directory would look like a data set. One with files in it stays.
        for made in new {
            let _ = std::fs::remove_dir(made);
        }
    }
    fetched
}

fn fetch_files(
    base: &str,
    files: &[Published],
    directory: &Path,
    patience: Patience,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<()> {
    for file in files {
        let path = directory.join(file.name);
        // This file remains of an archive, so that the archive is not downloaded again.
        let unpacked = directory.join(format!("{}.unpacked", file.name));
        if std::fs::read(&unpacked).is_ok_and(|digest| digest == file.sha256.as_bytes()) {
            continue;
        }
        let url = format!("{base}/{}", file.name);
        let download =
            Download { url: &url, bytes: Some(file.bytes), sha256: file.sha256, patience };
        download.to(&path, &mut |so_far| progress(file.name, so_far, file.bytes))?;
        if file.archive {
            unpack(&path, directory, LARGEST)?;
            write_atomically(&unpacked, file.sha256.as_bytes())?;
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}
