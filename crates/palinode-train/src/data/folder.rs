//! Pictures in folders: `train/CLASS/*.png` and `test/CLASS/*.png`, PNG or JPEG.

use super::dataset::{Dataset, Split};
use super::picture::decode;
use crate::error::{Error, Result};
use palinode::network::DataInfo;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[data.folder]`: the size and channels that pictures in folders are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FolderOptions {
    /// Rows and columns: pictures are scaled to cover them, and cut evenly where they are larger.
    pub size: [usize; 2],
    /// One grey channel instead of red, green and blue.
    pub grey: bool,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { size: [32, 32], grey: false }
    }
}

impl FolderOptions {
    /// The options for a network that expects images like those of `data`.
    pub fn of(data: &DataInfo) -> Self {
        let size = data.size.map(|extent| extent.saturating_sub(2 * data.padding));
        Self { size, grey: data.channels == 1 }
    }
}

/// Reads one split.
///
/// The classes are the folders' names in alphabetical order, the same in both splits. Pictures are in
/// the order of class and name. Hidden files and files with other endings are ignored.
pub(super) fn load(directory: &Path, split: Split, options: FolderOptions) -> Result<Dataset> {
    if options.size.iter().any(|extent| !(1..=4096).contains(extent)) {
        let reason = format!("{:?}: expected rows and columns from 1 to 4096", options.size);
        return Err(Error::config("data.folder.size", reason));
    }
    let train = directory.join("train");
    let own = match split {
        Split::Train => train.clone(),
        Split::Test => directory.join("test"),
    };
    let classes = folders(&train)?;
    let found = folders(&own)?;
    if classes != found {
        let other = found.iter().find(|name| !classes.contains(name));
        let missing = classes.iter().find(|name| !found.contains(name));
        let which = other.or(missing).map_or("", String::as_str);
        let reason = format!("class `{which}` is not in both splits, train and test");
        return Err(Error::format(&own, reason));
    }
    if !(2..=256).contains(&classes.len()) {
        let reason = format!("{} classes (folders), expected 2 to 256", classes.len());
        return Err(Error::format(&own, reason));
    }
    let mut paths = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let folder = own.join(class);
        let pictures = pictures(&folder)?;
        if pictures.is_empty() {
            return Err(Error::format(&folder, "there is no .png, .jpg or .jpeg file"));
        }
        paths.extend(pictures.into_iter().map(|path| (label as u8, path)));
    }
    let channels = if options.grey { 1 } else { 3 };
    let decoded: Vec<Vec<u8>> = paths
        .par_iter()
        .map(|(_, path)| decode(path, channels, options.size))
        .collect::<Result<_>>()?;
    Ok(Dataset {
        images: decoded.concat(),
        labels: paths.iter().map(|(label, _)| *label).collect(),
        channels,
        size: options.size,
        padding: 0,
        classes,
    })
}

/// Names of the folders in `directory`, in order.
fn folders(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in entries(directory)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::format(&path, "a class's name is not UTF-8"))?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Pictures in `directory`, in the order of their names.
fn pictures(directory: &Path) -> Result<Vec<PathBuf>> {
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ["png", "jpg", "jpeg"].contains(&ending.to_ascii_lowercase().as_str()) && path.is_file()
    };
    Ok(entries(directory)?.into_iter().filter(is_picture).collect())
}

/// The entries of a directory except hidden files, in order.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(directory).map_err(Error::io(directory))?;
    let mut paths = Vec::new();
    for entry in listed {
        let entry = entry.map_err(Error::io(directory))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &Path, width: u32, height: u32, colour: [u8; 3]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(width, height, image::Rgb(colour)).save(path).unwrap();
    }

    #[test]
    fn classes_are_folders_and_pictures_are_scaled_and_cropped() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        picture(&at("train/cat/b.png"), 40, 20, [10, 20, 30]);
        picture(&at("train/cat/a.JPG"), 9, 9, [200, 200, 200]);
        picture(&at("train/ant/x.jpeg"), 8, 8, [0, 0, 0]);
        picture(&at("test/cat/1.png"), 8, 8, [1, 2, 3]);
        picture(&at("test/ant/1.png"), 8, 8, [1, 2, 3]);
        std::fs::write(at("train/cat/notes.txt"), "no picture").unwrap();
        std::fs::write(at("train/.hidden"), "").unwrap();
        let options = FolderOptions { size: [8, 8], grey: false };
        let found = load(root.path(), Split::Train, options).unwrap();
        assert_eq!(
            (found.classes.clone(), found.labels.clone()),
            (vec!["ant".into(), "cat".into()], vec![0, 1, 1])
        );
        assert_eq!(found.image(2)[..64], [10; 64]);
        assert_eq!(found.image(2)[128..], [30; 64]);
        let grey =
            load(root.path(), Split::Test, FolderOptions { size: [4, 6], grey: true }).unwrap();
        assert_eq!((grey.channels, grey.image_len(), grey.len()), (1, 24, 2));

        std::fs::write(at("train/ant/y.png"), b"no picture at all").unwrap();
        let message = |split| load(root.path(), split, options).unwrap_err().to_string();
        assert!(message(Split::Train).contains("y.png"));
        picture(&at("test/dog/1.png"), 8, 8, [1, 2, 3]);
        assert!(message(Split::Test).contains("`dog`"));
    }
}
