//! What pictures become, and which are refused.

use super::*;
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageFormat, LumaA, Rgb, Rgba};
use std::io::Cursor;
use std::path::PathBuf;

const FORM: Form =
    Form { channels: 3, size: [12, 16], background: BACKGROUND, largest_side: LARGEST_SIDE };

/// A file of `tests/pictures/`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name)
}

/// A folder for files of a test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn planes(path: &Path, form: Form) -> Result<Vec<u8>> {
    let mut into = vec![0; form.len()];
    read(path, form, &Mutex::new(()), &mut into)?;
    Ok(into)
}

fn message(path: &Path) -> String {
    planes(path, FORM).unwrap_err().to_string()
}

/// No two of its rows or columns are alike.
fn scene() -> DynamicImage {
    let pixel = |x: u32, y: u32| Rgb([(x * 15) as u8, (y * 20) as u8, ((x + y) * 5) as u8]);
    ImageBuffer::from_fn(16, 12, pixel).into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// The planes of an RGB picture.
fn planes_of(picture: &DynamicImage) -> Vec<u8> {
    let pixels = picture.to_rgb8();
    (0..3).flat_map(|channel| pixels.pixels().map(move |pixel| pixel.0[channel])).collect()
}

/// An Exif block that holds the orientation alone.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

/// Behind the first two bytes of a JPEG: a segment APP1 with an Exif block.
fn with_exif_segment(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let content = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &content, &jpeg[2..]].concat()
}

/// A PNG with a chunk eXIf before the chunk of the name `before`.
fn with_exif_chunk(png: &[u8], orientation: u8, before: &[u8]) -> Vec<u8> {
    let content = exif(orientation);
    let mut chunk = (content.len() as u32).to_be_bytes().to_vec();
    let named = [b"eXIf".as_slice(), &content].concat();
    let mut checksum = flate2::Crc::new();
    checksum.update(&named);
    chunk.extend(named);
    chunk.extend(checksum.sum().to_be_bytes());
    let place = png.windows(4).position(|window| window == before).unwrap() - 4;
    [&png[..place], &chunk, &png[place..]].concat()
}

#[test]
fn every_format_is_read_by_its_content() {
    let folder = Folder::new();
    let expected = planes_of(&scene());
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff] {
        let path = folder.file("picture", &encoded(&scene(), format));
        assert_eq!(planes(&path, FORM).unwrap(), expected, "{format:?}");
    }
    let jpeg = folder.file("picture", &encoded(&scene(), ImageFormat::Jpeg));
    let far = |found: &[u8], expected: &[u8]| {
        let differences = found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
        differences.max().unwrap()
    };
    assert!(far(&planes(&jpeg, FORM).unwrap(), &expected) < 40);
    planes(&fixture("progressive.jpg"), FORM).unwrap();
    let upright = planes(&fixture("upright.png"), FORM).unwrap();
    let gif = planes(&fixture("two-frames.gif"), FORM).unwrap();
    assert!(far(&gif, &upright) < 60, "the first frame: {}", far(&gif, &upright));
    let text = folder.file("notes.png", b"no picture");
    assert!(message(&text).contains("notes.png: not a picture in one of the formats PNG, JPEG"));
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let folder = Folder::new();
    let whole = |format| encoded(&scene(), format);
    let progressive = std::fs::read(fixture("progressive.jpg")).unwrap();
    let gif = std::fs::read(fixture("two-frames.gif")).unwrap();
    // A thumbnail in a segment has an end-of-image marker of its own.
    let jpeg = whole(ImageFormat::Jpeg);
    let content = [b"Exif\0\0".as_slice(), &exif(1), &jpeg].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    let thumbnail = [&jpeg[..2], &[0xff, 0xe1], &length, &content, &jpeg[2..]].concat();
    let files = [
        ("a.jpg", whole(ImageFormat::Jpeg)),
        ("progressive.jpg", progressive),
        ("thumbnail.jpg", thumbnail),
        ("a.png", whole(ImageFormat::Png)),
        ("a.webp", whole(ImageFormat::WebP)),
        ("a.bmp", whole(ImageFormat::Bmp)),
        ("a.tiff", whole(ImageFormat::Tiff)),
    ];
    for (name, bytes) in files {
        planes(&folder.file(name, &bytes), FORM).unwrap();
        for keep in [bytes.len() - 2, bytes.len() * 9 / 10, bytes.len() / 2] {
            let path = folder.file(name, &bytes[..keep]);
            let read = planes(&path, FORM).map(|_| "read").map_err(|error| error.to_string());
            let message = read.expect_err(&format!("{name}: {keep} of {} bytes", bytes.len()));
            assert!(message.contains(name), "{message}");
        }
    }
    // Of a GIF, the first frame is read: it must be whole.
    assert!(message(&folder.file("a.gif", &gif[..gif.len() / 4])).contains("a.gif"));
}

#[test]
fn pictures_are_turned_upright() {
    let folder = Folder::new();
    for tag in 1..=8 {
        let mut expected = scene();
        expected.apply_orientation(Orientation::from_exif(tag).unwrap());
        let size = [expected.height() as usize, expected.width() as usize];
        let form = Form { size, ..FORM };
        let png = encoded(&scene(), ImageFormat::Png);
        for before in [b"IDAT", b"IEND"] {
            let path = folder.file("turned.png", &with_exif_chunk(&png, tag, before));
            assert_eq!(planes(&path, form).unwrap(), planes_of(&expected), "{tag}");
        }
        let jpeg = encoded(&scene(), ImageFormat::Jpeg);
        let mut upright = image::load_from_memory(&jpeg).unwrap();
        upright.apply_orientation(Orientation::from_exif(tag).unwrap());
        let path = folder.file("turned.jpg", &with_exif_segment(&jpeg, tag));
        assert_eq!(planes(&path, form).unwrap(), planes_of(&upright), "{tag}");
        // Scaled and cut after it is turned.
        let small = Form { size: [5, 3], ..FORM };
        let turned = planes(&folder.file("a.png", &encoded(&upright, ImageFormat::Png)), small);
        assert_eq!(planes(&path, small).unwrap(), turned.unwrap(), "{tag}");
    }
    let form = Form { size: [16, 12], ..FORM };
    let mut expected = image::open(fixture("upright.png")).unwrap();
    expected.apply_orientation(Orientation::Rotate90);
    assert_eq!(planes(&fixture("turned.tif"), form).unwrap(), planes_of(&expected));
}

#[test]
fn transparent_pictures_lie_on_the_background() {
    let folder = Folder::new();
    let disc = |x: u32, y: u32| x.abs_diff(8).pow(2) + y.abs_diff(6).pow(2) < 20;
    let shape = |x, y| Rgba([0, 0, 0, if disc(x, y) { 255_u8 } else { 0 }]);
    let shape: DynamicImage = ImageBuffer::from_fn(16, 12, shape).into();
    let path = folder.file("disc.png", &encoded(&shape, ImageFormat::Png));
    let found = planes(&path, FORM).unwrap();
    for (place, &value) in found[..192].iter().enumerate() {
        let (x, y) = ((place % 16) as u32, (place / 16) as u32);
        assert_eq!(value, if disc(x, y) { 0 } else { 255 }, "{x} {y}");
    }
    let green = Form { background: [1, 200, 3], ..FORM };
    assert_eq!(planes(&path, green).unwrap()[192], 200, "the green plane's corner");
    // Half transparent: (128·10 + 127·255)/255, rounded.
    let half: DynamicImage = ImageBuffer::from_pixel(16, 12, LumaA([10, 128_u8])).into();
    let path = folder.file("half.png", &encoded(&half, ImageFormat::Png));
    assert_eq!(planes(&path, FORM).unwrap(), [132; 576]);
    let grey = Form { channels: 1, background: [0, 0, 0], ..FORM };
    assert_eq!(planes(&path, grey).unwrap(), [5; 192]);
}

/// Without transparency, the view gives the bits that scaling the decoded picture itself gives.
#[test]
fn opaque_pictures_are_scaled_as_they_are() {
    let folder = Folder::new();
    let path = folder.file("a.png", &encoded(&scene(), ImageFormat::Png));
    let expected = scene().crop_imm(2, 0, 12, 12).resize_exact(7, 7, FilterType::Triangle);
    let form = Form { size: [7, 7], ..FORM };
    assert_eq!(planes(&path, form).unwrap(), planes_of(&expected));
    let grey = Form { channels: 1, ..form };
    assert_eq!(planes(&path, grey).unwrap(), *expected.to_luma8().as_raw());
}

#[test]
fn a_decoder_that_panics_names_the_file() {
    let message = message(&fixture("palette.png"));
    assert!(message.contains("palette.png: not a valid PNG"), "{message}");
}

#[test]
fn large_pictures_are_refused_with_the_limit() {
    let folder = Folder::new();
    let long: DynamicImage = image::GrayImage::new(600, 2).into();
    let path = folder.file("long.png", &encoded(&long, ImageFormat::Png));
    let form = Form { largest_side: 599, ..FORM };
    let message = planes(&path, form).unwrap_err().to_string();
    assert!(message.contains("600×2 pixels; pictures of more than 599 a side"), "{message}");
    assert!(message.contains("data.folder.largest_side"), "{message}");
    planes(&path, Form { largest_side: 600, ..FORM }).unwrap();
}
