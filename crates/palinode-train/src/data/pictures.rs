//! Picture files as images that are decoded when they are asked for.

use super::dataset::pad;
use super::image_source::ImageSource;
use super::kept::Room;
use super::picture::{BACKGROUND, Form, Kind, LARGEST_SIDE, read};
use super::statistics::Mean;
use super::survey::Survey;
use crate::error::{Error, Result};
use palinode::memory::check_available;
use palinode::network::DataInfo;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A picture file.
#[derive(Clone, Debug)]
pub(super) struct PictureFile {
    /// Its path, from the folder of its class on.
    pub name: Box<Path>,
    /// Its format by its name, which its content must agree with; `None`: any.
    pub kind: Option<Kind>,
    pub label: u16,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The folder of a class.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassFolder {
    pub path: PathBuf,
    /// What messages call it.
    pub place: PathBuf,
}

/// Picture files, brought to one form. Each is decoded when it is [read](ImageSource::read).
#[derive(Debug)]
pub(super) struct Pictures {
    /// By label.
    pub folders: Vec<ClassFolder>,
    pub files: Vec<PictureFile>,
    pub form: Form,
    /// Zero pixels that are added on each side.
    pub padding: usize,
    pub classes: Vec<String>,
    pub remarks: Vec<String>,
    /// Large pictures are not decoded beside each other.
    turns: Mutex<()>,
    listing: u32,
}

impl Pictures {
    /// Files in the folders of their classes, brought to `form` and padded.
    ///
    /// # Errors
    /// [`palinode::Error::Memory`] where there is too little for scaling.
    pub fn new(
        (classes, folders): (Vec<String>, Vec<ClassFolder>),
        files: Vec<PictureFile>,
        (form, padding): (Form, usize),
        remarks: Vec<String>,
    ) -> Result<Self> {
        // Every thread scales a picture, in f32 and then in bytes.
        let scaled =
            form.size.iter().fold(20_u64, |bytes, &extent| bytes.saturating_mul(extent as u64));
        let threads = rayon::current_num_threads() as u64;
        check_available(&[("scaling", scaled.saturating_mul(threads))])?;
        let turns = Mutex::new(());
        let mut new = Self { folders, files, form, padding, classes, remarks, turns, listing: 0 };
        new.listing = new.files.iter().fold(0, |sum, file| {
            let sum = crc32c::crc32c_append(sum, &file.label.to_le_bytes());
            let sum = crc32c::crc32c_append(sum, file.name.as_os_str().as_encoded_bytes());
            crc32c::crc32c_append(sum, &file.bytes.to_le_bytes())
        });
        Ok(new)
    }
}

/// Pictures (PNG, JPEG, WebP, BMP, TIFF, the first frame of a GIF) in the form that `info` describes. Each is read
/// once here; those that fit into half of the free memory stay there.
///
/// A picture is turned upright as its Exif orientation says, laid on the background of `info` where it is
/// transparent, scaled to cover the size, cut where it is larger, and zero-padded. Labels are all 0.
/// Pictures of more than `largest_side` rows or columns (default: 16,384) are refused.
///
/// # Errors
/// [`palinode::Error::Format`] or [`palinode::Error::Io`] for a file that is no such picture or cannot be read;
/// [`palinode::Error::Config`] naming the first ten where there are several, and for a network that expects
/// neither 1 nor 3 channels.
pub fn load_pictures(
    paths: &[PathBuf],
    info: &DataInfo,
    largest_side: Option<u32>,
) -> Result<Arc<dyn ImageSource>> {
    if ![1, 3].contains(&info.channels) {
        let reason =
            format!("the network expects {} channels; pictures have 1 or 3", info.channels);
        return Err(Error::config("channels", reason));
    }
    let files = paths.iter().map(|path| PictureFile {
        name: path.as_path().into(),
        kind: None,
        label: 0,
        // A file that is not there is an error when it is read.
        bytes: path.metadata().map_or(0, |file| file.len()),
    });
    let form = Form {
        channels: info.channels,
        size: info.size.map(|extent| extent.saturating_sub(2 * info.padding)),
        background: info.background.unwrap_or(BACKGROUND),
        largest_side: largest_side.unwrap_or(LARGEST_SIDE),
    };
    let classes = (info.classes.clone(), vec![ClassFolder::default()]);
    let pictures = Pictures::new(classes, files.collect(), (form, info.padding), Vec::new())?;
    let kept = Room::half_of_free().keep(Arc::new(pictures));
    Survey::of(&kept, Mean::Channel)?;
    Ok(kept)
}

impl ImageSource for Pictures {
    fn len(&self) -> usize {
        self.files.len()
    }
    fn channels(&self) -> usize {
        self.form.channels
    }
    fn size(&self) -> [usize; 2] {
        self.form.size.map(|extent| extent + 2 * self.padding)
    }
    fn padding(&self) -> usize {
        self.padding
    }
    fn background(&self) -> Option<[u8; 3]> {
        Some(self.form.background)
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn label(&self, index: usize) -> usize {
        usize::from(self.files[index].label)
    }
    fn name(&self, index: usize) -> String {
        let PictureFile { name, label, .. } = &self.files[index];
        self.folders[usize::from(*label)].place.join(name).display().to_string()
    }
    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
    fn listing(&self) -> Option<u32> {
        Some(self.listing)
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        let PictureFile { name, kind, label, .. } = &self.files[index];
        let path = &self.folders[usize::from(*label)].path.join(name);
        if let Some(kind) = kind {
            kind.check_content(path)?;
        }
        if self.padding == 0 {
            return read(path, self.form, &self.turns, into);
        }
        let mut image = vec![0; self.form.len()];
        read(path, self.form, &self.turns, &mut image)?;
        into.fill(0);
        pad(&image, self.form.size, self.padding, into);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_files_are_named_in_order_and_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..40)
            .map(|number| {
                let path = folder.path().join(format!("{number:02}.png"));
                match number % 3 {
                    1 => std::fs::write(&path, b"bad").unwrap(),
                    _ => image::RgbImage::new(9, 7).save(&path).unwrap(),
                }
                path
            })
            .collect();
        let info: DataInfo = serde_json::from_str(
            r#"{"channels": 3, "size": [8, 8], "mean": [0, 0, 0], "std": [1, 1, 1], "classes": ["a"],
                "padding": 0}"#,
        )
        .unwrap();
        let message =
            |paths: &[PathBuf]| load_pictures(paths, &info, None).err().unwrap().to_string();
        let first = message(&paths);
        assert!(first.starts_with("13 pictures cannot be read: "), "{first}");
        let places: Vec<usize> =
            (0..10).map(|bad| first.find(&format!("{:02}.png", 3 * bad + 1)).unwrap()).collect();
        assert!(places.is_sorted() && first.ends_with("and 3 more"), "{first}");
        assert!((0..5).all(|_| message(&paths) == first));
        assert!(message(&paths[..2]).contains("01.png: not a picture"));
    }
}
