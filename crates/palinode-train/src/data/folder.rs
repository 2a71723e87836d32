//! Pictures in folders: `train/CLASS/` and `test/CLASS/`.

use super::dataset::Split;
use super::left_out::LeftOut;
use super::picture::{BACKGROUND, Form, Kind, LARGEST_SIDE};
use super::pictures::{ClassFolder, PictureFile, Pictures};
use crate::error::{Error, Result};
use palinode::network::DataInfo;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[data.folder]`: the form that pictures in folders are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FolderOptions {
    /// Rows and columns: pictures are scaled to cover them, and cut evenly where they are larger.
    pub size: [usize; 2],
    /// One grey channel instead of red, green and blue.
    pub grey: bool,
    /// Red, green and blue of what shows where a picture is transparent.
    pub background: [u8; 3],
    /// Rows and columns that a picture may have. A larger one is refused before it is decoded.
    pub largest_side: u32,
    /// Zero pixels that are added on each side, for a network that was trained on padded images.
    #[serde(skip)]
    pub padding: usize,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            size: [32, 32],
            grey: false,
            background: BACKGROUND,
            largest_side: LARGEST_SIDE,
            padding: 0,
        }
    }
}

impl FolderOptions {
    /// The options for a network that expects images like those of `data`.
    pub fn of(data: &DataInfo) -> Self {
        let size = data.size.map(|extent| extent.saturating_sub(2 * data.padding));
        let background = data.background.unwrap_or(BACKGROUND);
        let (grey, padding) = (data.channels == 1, data.padding);
        Self { size, grey, background, padding, ..Self::default() }
    }

    /// Sets [`largest_side`](Self::largest_side), if there is a value for it.
    #[must_use]
    pub fn with_largest_side(self, side: Option<u32>) -> Self {
        Self { largest_side: side.unwrap_or(self.largest_side), ..self }
    }

    fn form(self) -> Form {
        let channels = if self.grey { 1 } else { 3 };
        let Self { size, background, largest_side, .. } = self;
        Form { channels, size, background, largest_side }
    }
}

/// Classes that a folder may have: reports have a matrix of all pairs.
const MOST_CLASSES: usize = 1024;

/// Lists one split. No picture is read.
///
/// The classes are the folders' names in alphabetical order, the same in both splits where there are two.
/// Pictures are in the order of class and name. Hidden files are ignored; of everything else that is no
/// picture, the remarks say how many there are.
pub(super) fn list(directory: &Path, split: Split, options: FolderOptions) -> Result<Pictures> {
    if options.size.iter().any(|extent| !(1..=4096).contains(extent)) {
        let reason = format!("{:?}: expected rows and columns from 1 to 4096", options.size);
        return Err(Error::config("data.folder.size", reason));
    }
    let (name, other) = names(split);
    let root = root(directory)?;
    let own = root.join(name);
    let mut left_out = LeftOut::default();
    let classes = folders(&own, name, &mut left_out)?;
    if root.join(other).is_dir() {
        let others = folders(&root.join(other), other, &mut LeftOut::default())?;
        let extra = classes.iter().find(|class| !others.contains(class));
        let missing = others.iter().find(|class| !classes.contains(class));
        if let Some(class) = extra.or(missing) {
            let reason = format!("class `{class}` is not in both splits, train and test");
            return Err(Error::format(&own, reason));
        }
    }
    if !(2..=MOST_CLASSES).contains(&classes.len()) {
        let reason = format!("{} classes (folders), expected 2 to {MOST_CLASSES}", classes.len());
        return Err(Error::format(&own, reason));
    }
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for (label, class) in (0..).zip(&classes) {
        let folder = ClassFolder { path: own.join(class), place: Path::new(name).join(class) };
        files.extend(pictures(&folder, label, &mut left_out)?);
        folders.push(folder);
    }
    let form = (options.form(), options.padding);
    Pictures::new((classes, folders), files, form, left_out.remarks())
}

/// The names of the split's folder and of the other one's.
fn names(split: Split) -> (&'static str, &'static str) {
    match split {
        Split::Train => ("train", "test"),
        Split::Test => ("test", "train"),
    }
}

/// Whether `directory` holds the split's folder.
pub(super) fn holds(directory: &Path, split: Split) -> bool {
    root(directory).is_ok_and(|root| root.join(names(split).0).is_dir())
}

/// The folder that holds `train` or `test`: `directory`, or the only folder in it, as archives are often
/// packed.
fn root(directory: &Path) -> Result<PathBuf> {
    let holds = |path: &Path| path.join("train").is_dir() || path.join("test").is_dir();
    if holds(directory) {
        return Ok(directory.to_owned());
    }
    let inner: Vec<PathBuf> =
        entries(directory)?.into_iter().filter(|path| path.is_dir()).collect();
    match inner.as_slice() {
        [only] if holds(only) => Ok(only.clone()),
        _ => {
            let reason = "there is no train/CLASS/ and no test/CLASS/ with pictures in it";
            Err(Error::format(directory, reason))
        }
    }
}

/// Names of the folders in `directory`, which messages call `place`, in order.
fn folders(directory: &Path, place: &str, left_out: &mut LeftOut) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if !directory.is_dir() {
        return Err(Error::format(directory, "there is no such folder"));
    }
    for path in entries(directory)? {
        if !path.is_dir() {
            left_out.count(place, "files outside the classes' folders".to_owned());
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::format(&path, "a class's name is not UTF-8"))?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Pictures of class `label` in `folder`, in the order of their names.
fn pictures(folder: &ClassFolder, label: u16, left_out: &mut LeftOut) -> Result<Vec<PictureFile>> {
    let directory = &folder.path;
    let mut found = Vec::new();
    for path in entries(directory)? {
        let reason = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                "links that lead nowhere".to_owned()
            }
            Err(error) => return Err(Error::io(&path)(error)),
            Ok(file) if file.is_dir() => "folders".to_owned(),
            Ok(file) if !file.is_file() => "special files".to_owned(),
            Ok(file) => match Kind::by_name(&path) {
                Some(kind) => {
                    // Joined to the folder again, either is the path.
                    let name = path.strip_prefix(directory).unwrap_or(&path).into();
                    found.push(PictureFile { name, kind: Some(kind), label, bytes: file.len() });
                    continue;
                }
                None => match path.extension() {
                    Some(ending) => format!(".{} files", ending.to_string_lossy()),
                    None => "files without an ending".to_owned(),
                },
            },
        };
        left_out.count(&folder.place.to_string_lossy(), reason);
    }
    if found.is_empty() {
        let reason = "there is no picture in it (.png, .jpg, .webp, .bmp, .gif, .tif)";
        return Err(Error::format(directory, reason));
    }
    Ok(found)
}

/// The entries of a directory except hidden files, in order.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(directory).map_err(Error::io(directory))?;
    let mut paths = Vec::new();
    for entry in listed {
        let entry = entry.map_err(Error::io(directory))?;
        let name = entry.file_name();
        // Archives of macOS hold a folder of hidden files under that name.
        if !name.to_string_lossy().starts_with('.') && name != "__MACOSX" {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSource, Mean, Survey, image_len};

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
        let options = FolderOptions { size: [8, 8], ..FolderOptions::default() };
        let read = |split, options| list(root.path(), split, options);
        let found = read(Split::Train, options).unwrap();
        assert_eq!(found.classes(), ["ant", "cat"]);
        assert_eq!([0, 1, 2].map(|index| found.label(index)), [0, 1, 1]);
        assert_eq!(found.name(2), "train/cat/b.png");
        let mut image = vec![0; image_len(&found)];
        found.read(2, &mut image).unwrap();
        assert_eq!((&image[..64], &image[128..]), (&[10; 64][..], &[30; 64][..]));
        let padded =
            list(root.path(), Split::Train, FolderOptions { padding: 1, ..options }).unwrap();
        assert_eq!((padded.size(), padded.padding()), ([10, 10], 1));
        let mut wider = vec![9; image_len(&padded)];
        padded.read(2, &mut wider).unwrap();
        assert_eq!((&wider[..11], &wider[11..19], wider[19]), (&[0; 11][..], &[10; 8][..], 0));
        let grey =
            read(Split::Test, FolderOptions { size: [4, 6], grey: true, ..options }).unwrap();
        assert_eq!((grey.channels(), image_len(&grey), grey.len()), (1, 24, 2));

        std::fs::write(at("train/ant/y.png"), b"no picture at all").unwrap();
        let message = |split| {
            let found = read(split, options).and_then(|found| Survey::of(&found, Mean::Channel));
            found.unwrap_err().to_string()
        };
        assert!(message(Split::Train).contains("y.png"));
        picture(&at("test/dog/1.png"), 8, 8, [1, 2, 3]);
        assert!(message(Split::Test).contains("`dog`"));
    }

    #[test]
    fn as_many_classes_as_imagenet_has_are_no_problem() {
        let root = tempfile::tempdir().unwrap();
        for class in 0..1024 {
            let folder = root.path().join(format!("train/{class:04}"));
            std::fs::create_dir_all(&folder).unwrap();
            // Listed, not read.
            std::fs::write(folder.join("1.png"), b"").unwrap();
        }
        let found = list(root.path(), Split::Train, FolderOptions::default()).unwrap();
        assert_eq!((found.len(), found.label(1023)), (1024, 1023));
        std::fs::create_dir(root.path().join("train/more")).unwrap();
        let refused = list(root.path(), Split::Train, FolderOptions::default());
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("1025 classes (folders), expected 2 to 1024"), "{message}");
    }

    #[test]
    fn a_folder_in_the_folder_is_found_and_what_archives_add_is_not_a_class() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("archive");
        for class in ["cat", "dog"] {
            picture(&inner.join("train").join(class).join("1.png"), 8, 8, [9, 9, 9]);
        }
        std::fs::create_dir_all(inner.join("train/__MACOSX")).unwrap();
        let options = FolderOptions { size: [8, 8], ..FolderOptions::default() };
        let read = |split| list(root.path(), split, options);
        assert_eq!(read(Split::Train).unwrap().classes, ["cat", "dog"]);
        assert!(holds(root.path(), Split::Train) && !holds(root.path(), Split::Test));
        assert!(read(Split::Test).unwrap_err().to_string().contains("there is no such folder"));
        // Two folders: which one is meant?
        std::fs::create_dir(root.path().join("other")).unwrap();
        let message = read(Split::Train).unwrap_err().to_string();
        assert!(message.contains("there is no train/CLASS/"), "{message}");
    }
}
