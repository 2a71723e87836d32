//! Readers are total: any bytes give data, or an error that names the file.
#![allow(clippy::unwrap_used)]

use palinode::network::WeightFile;
use palinode::network::{DataInfo, NetworkConfig, save_arrays};
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::data::{Dataset, SourceName, Split, load_pictures};
use palinode_train::experiment::Plan;
use palinode_train::recipe::{QUICK_START, Recipe, Settings};
use palinode_train::train::{
    SplitOptions, Trainer, TrainingData, Unobserved, read_position, read_rows,
};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a reader makes of a file: nothing, or its complaint.
type Reader = fn(&Path) -> Result<(), String>;

/// A reader, the name its file must have, and a file that it takes.
struct Format {
    name: &'static str,
    reader: Reader,
    valid: Vec<u8>,
}

fn said<T>(result: Result<T, impl std::fmt::Display>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

fn from_directory(source: SourceName, path: &Path) -> Result<(), String> {
    said(source.load(path.parent(), Split::Test))
}

fn from_picture(path: &Path) -> Result<(), String> {
    let info = DataInfo {
        channels: 3,
        size: [8, 8],
        mean: vec![0.5; 3],
        std: vec![0.2; 3],
        pixel_mean: None,
        classes: vec!["a".into(), "b".into()],
        padding: 1,
        background: None,
    };
    said(load_pictures(&[PathBuf::from(path)], &info, None))
}

fn idx(extents: &[u32], bytes: usize) -> Vec<u8> {
    let mut file = vec![0, 0, 8, extents.len() as u8];
    file.extend(extents.iter().flat_map(|extent| extent.to_be_bytes()));
    file.extend((0..bytes).map(|i| (i % 10) as u8));
    file
}

fn weight_file() -> Vec<u8> {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 3);
    config = config.with_units([1, 1, 1], [4, 4, 4]);
    let network = config.init(0, Differentiation::Stored, &Device::flex()).unwrap();
    let info = DataInfo {
        channels: 1,
        size: [8, 8],
        mean: vec![0.5],
        std: vec![0.2],
        pixel_mean: None,
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        padding: 0,
        background: None,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    WeightFile::of(&network, &info).save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// The checkpoint of a run of one epoch on eight images.
fn checkpoint() -> Vec<u8> {
    static CHECKPOINT: OnceLock<Vec<u8>> = OnceLock::new();
    let train = || {
        let mut config = NetworkConfig::named("midpoint").unwrap().for_data(1, [8, 8], 2);
        config = config.with_units([1], [2]);
        let device = Device::flex().autodiff();
        let network = config.init(0, Differentiation::Reversible, &device).unwrap();
        let (images, labels) =
            ((0..8 * 64).map(|i| (i * 37) as u8).collect(), vec![0, 1, 0, 1, 0, 1, 0, 1]);
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let images = Dataset::new(images, labels, 1, [8, 8], classes);
        let data = TrainingData::split(images, SplitOptions::default()).unwrap();
        let settings = Settings::default();
        let training = settings.training.clone().with_epochs(1);
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let trainer = Trainer::new(network, data).with_settings(settings.with_training(training));
        trainer.train(&run, &mut Unobserved).unwrap();
        std::fs::read(run.join("checkpoints/latest.safetensors")).unwrap()
    };
    CHECKPOINT.get_or_init(train).clone()
}

/// A small picture in the format that its name ends in.
fn picture(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([(x * y) as u8, x as u8, y as u8]))
        .save(&path)
        .unwrap();
    std::fs::read(path).unwrap()
}

fn formats() -> Vec<Format> {
    let format = |name, reader: Reader, valid| Format { name, reader, valid };
    vec![
        format(
            "t10k-images-idx3-ubyte",
            |path| {
                let labels = path.with_file_name("t10k-labels-idx1-ubyte");
                std::fs::write(labels, idx(&[2], 2)).unwrap();
                from_directory(SourceName::FashionMnist, path)
            },
            idx(&[2, 28, 28], 2 * 28 * 28),
        ),
        format(
            "t10k-labels-idx1-ubyte",
            |path| {
                let images = path.with_file_name("t10k-images-idx3-ubyte");
                std::fs::write(images, idx(&[2, 28, 28], 2 * 28 * 28)).unwrap();
                from_directory(SourceName::FashionMnist, path)
            },
            idx(&[2], 2),
        ),
        format(
            "test_batch.bin",
            |path| from_directory(SourceName::Cifar10, path),
            vec![3; 2 * 3073],
        ),
        format("test.bin", |path| from_directory(SourceName::Cifar100, path), vec![42; 2 * 3074]),
        format(
            "test_X.bin",
            |path| {
                std::fs::write(path.with_file_name("test_y.bin"), [1]).unwrap();
                from_directory(SourceName::Stl10, path)
            },
            vec![9; 3 * 96 * 96],
        ),
        format(
            "test_y.bin",
            |path| {
                std::fs::write(path.with_file_name("test_X.bin"), vec![9; 2 * 3 * 96 * 96])
                    .unwrap();
                from_directory(SourceName::Stl10, path)
            },
            vec![1, 10],
        ),
        format(
            "fold_indices.txt",
            |path| said(SourceName::Stl10.fold(path.parent(), 1, 50)),
            b"1 2 3 \n4 5 49\n".to_vec(),
        ),
        format(
            "weights.safetensors",
            |path| {
                let file = WeightFile::load(path).map_err(|error| error.to_string())?;
                let network = file.network(Differentiation::Stored, &Device::flex());
                said(network)
            },
            weight_file(),
        ),
        format("recipe.toml", |path| said(Recipe::load(path, &[])), QUICK_START.into()),
        format(
            "experiment.toml",
            |path| {
                let plan = Plan::load(path).map_err(|error| error.to_string())?;
                // A recipe's own fields are named, not the file.
                let trials = plan.trials(path.parent().unwrap());
                trials.map(|_| ()).map_err(|error| format!("experiment.toml: {error}"))
            },
            b"experiment_version = 1\ntitle = \"t\"\nseeds = [1, 2]\n[[row]]\nname = \"r\"\n"
                .to_vec(),
        ),
        format(
            "metrics.csv",
            |path| said(read_rows(path)),
            b"epoch,split,loss,accuracy,learning_rate,seconds,images_per_second,peak_bytes\n\
              1,train,0.5,0.9,0.1,2.0,30.0,1000\n"
                .to_vec(),
        ),
        format("latest.safetensors", |path| said(read_position(path)), checkpoint()),
        format("picture.png", from_picture, picture("p.png")),
        format("picture.jpg", from_picture, picture("p.jpg")),
        format("picture.webp", from_picture, picture("p.webp")),
        format("picture.bmp", from_picture, picture("p.bmp")),
        format("picture.gif", from_picture, picture("p.gif")),
        format("picture.tiff", from_picture, picture("p.tiff")),
    ]
}

fn read(format: &Format, bytes: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format.name);
    std::fs::write(&path, bytes).unwrap();
    (format.reader)(&path)
}

#[test]
fn what_is_right_is_read() {
    for format in formats() {
        assert_eq!(read(&format, &format.valid), Ok(()), "{}", format.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused_by_name(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in formats() {
            if let Err(message) = read(&format, &bytes) {
                prop_assert!(message.contains(format.name), "{}: {message}", format.name);
            }
        }
    }

    /// A right file with a byte changed, a piece cut out, doubled, or the end cut off.
    #[test]
    fn damaged_files_are_read_or_refused_by_name(
        which in any::<prop::sample::Index>(),
        place in 0.0..1.0_f64,
        length in 0..40_usize,
        byte in any::<u8>(),
        kind in 0..4,
    ) {
        let mut formats = formats();
        let format = formats.swap_remove(which.index(formats.len()));
        let mut bytes = format.valid.clone();
        let at = (place * bytes.len() as f64) as usize;
        let end = (at + length).min(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => { bytes.drain(at..end); }
            2 => { let piece = bytes[at..end].to_vec(); bytes.splice(at..at, piece); }
            _ => bytes.truncate(at),
        }
        if let Err(message) = read(&format, &bytes) {
            prop_assert!(message.contains(format.name), "{}: {message}", format.name);
        }
    }
}

/// Headers that announce far more than there is, and gzip that unpacks to far more than is sent.
#[test]
fn bombs_are_refused_before_they_go_off() {
    use std::io::Write;
    let formats = formats();
    let images = &formats[0];
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], 0);
    assert!(read(images, &huge).unwrap_err().contains("announces"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![0_u8; 1 << 20];
    gzip.write_all(&idx(&[100_000, 28, 28], 0)).unwrap();
    for _ in 0..1100 {
        gzip.write_all(&block).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 2 << 20);
    assert!(read(images, &bomb).unwrap_err().contains("more bytes follow it"));

    // A PNG header of 60,000 × 60,000 pixels in front of nothing.
    let picture = formats.iter().find(|format| format.name == "picture.png").unwrap();
    let mut header = picture.valid.clone();
    header[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    assert!(read(picture, &header).unwrap_err().contains("picture.png"));

    // A weight file whose description is of a network far larger than its arrays.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let bytes = weight_file();
    std::fs::write(&path, &bytes).unwrap();
    let (arrays, mut metadata) = palinode::network::load_arrays(&path).unwrap();
    let config = metadata["palinode.config"].replace("[1,1,1]", "[90000,90000,90000]");
    assert_ne!(config, metadata["palinode.config"]);
    metadata.insert("palinode.config".into(), config);
    save_arrays(&path, &arrays, &metadata).unwrap();
    let file = WeightFile::load(&path).unwrap();
    let error = file.network(Differentiation::Stored, &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("numbers, but the network they describe has"), "{error}");
}
