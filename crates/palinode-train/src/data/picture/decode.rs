//! Decoding of picture files, behind a guard: whatever a decoder does becomes an error that names the
//! file.

use crate::error::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use palinode::memory::check_available;
use std::fs::File;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a decoded picture, and of its file. A larger one is refused before it is decoded.
const LARGEST_BYTES: u64 = 1 << 30;

/// Bytes of a decoded picture above which it is decoded alone.
const LARGE_BYTES: u64 = 1 << 26;

/// A format of pictures that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    format: ImageFormat,
    /// Its name in messages.
    pub name: &'static str,
}

/// The formats, their names, and how names of their files end.
const KINDS: [(ImageFormat, &str, &[&str]); 6] = [
    (ImageFormat::Png, "PNG", &["png"]),
    (ImageFormat::Jpeg, "JPEG", &["jpg", "jpeg", "jfif", "jpe"]),
    (ImageFormat::WebP, "WebP", &["webp"]),
    (ImageFormat::Bmp, "BMP", &["bmp", "dib"]),
    (ImageFormat::Gif, "GIF", &["gif"]),
    (ImageFormat::Tiff, "TIFF", &["tif", "tiff"]),
];

impl Kind {
    /// The format that a file's name ends in; `None` where it is none of these.
    pub fn by_name(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        let found = KINDS.iter().find(|(_, _, endings)| endings.contains(&ending.as_str()));
        found.map(|&(format, name, _)| Self { format, name })
    }

    /// The format that a file's content begins like; `None` where it is none of these.
    fn by_content(bytes: &[u8]) -> Option<Self> {
        let guessed = image::guess_format(bytes).ok()?;
        let found = KINDS.iter().find(|(format, _, _)| *format == guessed);
        found.map(|&(format, name, _)| Self { format, name })
    }

    /// Refuses a file whose content is of another format than its name says.
    ///
    /// # Errors
    /// [`palinode::Error::Format`] naming both formats; [`palinode::Error::Io`].
    pub fn check_content(self, path: &Path) -> Result<()> {
        let mut start = Vec::new();
        File::open(path)
            .and_then(|file| file.take(64).read_to_end(&mut start))
            .map_err(Error::io(path))?;
        match Self::by_content(&start) {
            Some(content) if content != self => {
                let reason = format!(
                    "it is a {} picture, but its name is that of a {}",
                    content.name, self.name
                );
                Err(Error::format(path, reason))
            }
            _ => Ok(()),
        }
    }
}

/// A decoded picture.
pub(super) struct Decoded<'a> {
    pub picture: DynamicImage,
    /// How it has to be turned.
    pub orientation: Orientation,
    /// Held by a large picture: no other large one is decoded beside it.
    _turn: Option<MutexGuard<'a, ()>>,
}

/// The picture in `path`. Large pictures take turns.
pub(super) fn decode<'a>(
    path: &Path,
    largest_side: u32,
    turns: &'a Mutex<()>,
) -> Result<Decoded<'a>> {
    let refuse = |reason: String| Err(Error::format(path, reason));
    if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
        return refuse("no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(Error::io(path))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return refuse(format!("a picture file of more than {LARGEST_BYTES} bytes is refused"));
    }
    if bytes.is_empty() {
        return refuse("an empty file".to_owned());
    }
    let Some(kind) = Kind::by_content(&bytes) else {
        let names = KINDS.map(|(_, name, _)| name).join(", ");
        return refuse(format!("not a picture in one of the formats {names}"));
    };
    if !is_whole(kind, &bytes) {
        return refuse(format!("cut off: the end of a {} file is missing", kind.name));
    }
    // A decoder that panics has met a file that its authors did not think of. It keeps nothing.
    let decoded =
        catch_unwind(AssertUnwindSafe(|| decode_as(kind, &bytes, path, largest_side, turns)));
    decoded.unwrap_or_else(|_| {
        refuse(format!("not a valid {} picture (its decoder failed)", kind.name))
    })
}

/// Decodes a picture of format `kind`; `path` is for messages.
fn decode_as<'a>(
    kind: Kind,
    bytes: &[u8],
    path: &Path,
    largest_side: u32,
    turns: &'a Mutex<()>,
) -> Result<Decoded<'a>> {
    let broken = |error: ImageError| {
        let reason = match error {
            ImageError::Unsupported(error) => {
                format!("a {} that cannot be read here: {error}", kind.name)
            }
            error => format!("not a valid {} picture: {error}", kind.name),
        };
        Error::format(path, reason)
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind.format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(LARGEST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > largest_side {
        let reason = format!(
            "{width}×{height} pixels; pictures of more than {largest_side} a side are refused \
             (data.folder.largest_side, --largest-side)"
        );
        return Err(Error::format(path, reason));
    }
    if decoder.total_bytes() > LARGEST_BYTES {
        let reason = format!(
            "{width}×{height} pixels need {} bytes; more than {LARGEST_BYTES} are refused",
            decoder.total_bytes()
        );
        return Err(Error::format(path, reason));
    }
    let large = decoder.total_bytes() > LARGE_BYTES;
    let turn = large.then(|| turns.lock().unwrap_or_else(PoisonError::into_inner));
    if large {
        let bytes = decoder.total_bytes();
        check_available(&[("the decoded picture", bytes)])
            .map_err(|error| Error::format(path, error.to_string()))?;
    }
    let orientation = match kind.format {
        // It may also come after the pixels, where the decoder does not see it.
        ImageFormat::Png => png_chunk(bytes, b"eXIf").and_then(Orientation::from_exif_chunk),
        // A TIFF file is laid out like an Exif block.
        ImageFormat::Tiff => Orientation::from_exif_chunk(bytes),
        _ => Some(decoder.orientation().map_err(broken)?),
    };
    let picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(Decoded { picture, orientation, _turn: turn })
}

/// Whether the file has an end, as far as its format tells. Decoders accept some that have none.
fn is_whole(kind: Kind, bytes: &[u8]) -> bool {
    match kind.format {
        ImageFormat::Jpeg => jpeg_ends(bytes),
        ImageFormat::Png => png_chunk(bytes, b"IEND").is_some(),
        // RIFF: the number of bytes that follow stands at offset 4.
        ImageFormat::WebP => bytes
            .get(4..)
            .and_then(<[u8]>::first_chunk)
            .is_some_and(|&length| bytes.len() as u64 >= 8 + u64::from(u32::from_le_bytes(length))),
        _ => true,
    }
}

/// The content of a PNG file's first whole chunk of that name.
///
/// Source: Portable Network Graphics (third edition), 5.3.
fn png_chunk<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (&length, after) = rest.split_first_chunk::<4>()?;
        let (name, after) = after.split_first_chunk::<4>()?;
        let content = after.get(..u32::from_be_bytes(length) as usize)?;
        // A checksum of four bytes follows.
        rest = after.get(content.len() + 4..)?;
        if name == wanted {
            return Some(content);
        }
    }
}

/// Whether a JPEG file has its end-of-image marker. Thumbnails in its segments do not count.
///
/// Decoders fill what is missing of a file without it with grey. Source: ITU-T T.81, annex B.
fn jpeg_ends(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    // Markers without a segment: TEM, the restart markers, SOI.
    let alone = |marker: u8| marker == 0x01 || (0xd0..=0xd8).contains(&marker);
    let mut place = 0;
    loop {
        // The next marker: bytes 0xff, then one that is neither 0xff nor, in a scan, a stuffed 0.
        let Some(next) = bytes[place..]
            .windows(2)
            .position(|pair| pair[0] == 0xff && pair[1] != 0xff && pair[1] != 0)
        else {
            return false;
        };
        let marker = bytes[place + next + 1];
        place += next + 2;
        if marker == END_OF_IMAGE {
            return true;
        }
        if alone(marker) {
            continue;
        }
        // A segment's length counts its own two bytes.
        let Some(&length) = bytes[place..].first_chunk::<2>() else { return false };
        let length = usize::from(u16::from_be_bytes(length)).max(2);
        if place + length > bytes.len() {
            return false;
        }
        // What follows a scan's header is found by its next marker.
        place += length;
    }
}
