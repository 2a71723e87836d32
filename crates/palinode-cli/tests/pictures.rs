//! Data sets of pictures, from training to prediction.
#![allow(clippy::unwrap_used)]

mod support;

use image::{Rgb, RgbImage, Rgba, RgbaImage};
use std::path::{Path, PathBuf};
use support::{failure, json, owned, palinode};
use tempfile::TempDir;

/// A folder with data sets and runs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A data set with pictures of a class's colour, and noise.
    fn pictures(&self, name: &str, classes: &[&str], [train, test]: [u32; 2]) -> PathBuf {
        let root = self.path(name);
        for (split, count) in [("train", train), ("test", test)] {
            for class in classes {
                std::fs::create_dir_all(root.join(split).join(class)).unwrap();
                for number in 0..count {
                    let seed = number + if split == "test" { 1000 } else { 0 };
                    let path = root.join(split).join(class).join(format!("{number:03}.png"));
                    picture(class, seed).save(path).unwrap();
                }
            }
        }
        root
    }

    /// Arguments of a short run on a data set.
    fn train(&self, data: &Path, out: &str, more: &[&str]) -> Vec<String> {
        let (data, out) = (data.display().to_string(), self.path(out).display().to_string());
        let begin = [
            "train",
            "--model",
            "hamiltonian",
            "--data",
            "folder",
            "--data-dir",
            &data,
            "--out",
            &out,
            "--epochs",
            "2",
            "--batch-size",
            "10",
            "--json",
            "--quiet",
        ];
        let sets =
            ["model.blocks=[1, 1, 1]", "model.widths=[4, 4, 4]", "data.folder.size=[16, 16]"];
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        owned(&begin.into_iter().chain(sets).chain(more.iter().copied()).collect::<Vec<_>>())
    }
}

fn picture(class: &str, seed: u32) -> RgbImage {
    let hue = class.bytes().last().unwrap();
    let colour = [(hue % 2) * 150, (hue / 2 % 2) * 150, (hue / 4 % 2) * 150];
    let mut noise = seed.wrapping_mul(2_654_435_761) ^ u32::from(hue);
    RgbImage::from_fn(16, 16, |_, _| {
        Rgb(colour.map(|channel| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            channel + (noise >> 26) as u8
        }))
    })
}

fn evaluate(weights: &Path, data: &Path) -> Vec<String> {
    let (weights, data) = (weights.display().to_string(), data.display().to_string());
    owned(&["eval", "--weights", &weights, "--data", "folder", "--data-dir", &data, "--json"])
}

/// Case 1: the classes of weights and images are matched by name, in every command.
#[test]
fn classes_have_names_and_not_places() {
    let folder = Folder::new();
    let plain = folder.pictures("plain", &["cat", "dog"], [20, 10]);
    let outcome = json(&folder.train(&plain, "run", &[]));
    let weights = folder.path("run/weights/best.safetensors");
    let found = json(&evaluate(&weights, &plain));
    assert_eq!(found["accuracy"], outcome["test_accuracy"]);

    let renamed = folder.pictures("renamed", &["dog", "zcat"], [1, 10]);
    let three = folder.pictures("three", &["cat", "dog", "eel"], [1, 1]);
    let one = folder.pictures("one", &["cat", "owl"], [1, 1]);
    let cases = [
        (&renamed, &["`zcat` is not among", "no class `cat`"][..]),
        (&three, &["`eel` is not among"]),
        (&one, &["`owl` is not among", "no class `dog`"]),
    ];
    let file = weights.display().to_string();
    let logits = folder.path("logits.npy").display().to_string();
    for (data, words) in cases {
        let data = data.display().to_string();
        let on = ["--weights", &file, "--data", "folder", "--data-dir", &data];
        for command in [&["eval"][..], &["predict", "--logits", &logits], &["bench", "reversal"]] {
            let (code, message) = failure(&[command, &on].concat());
            assert_eq!(code, 2, "{command:?}: {message}");
            for word in words {
                assert!(message.contains(word), "{command:?}: no `{word}` in {message}");
            }
        }
    }
    // In another order: the same pictures, under the numbers of the classes. What they stand for is said.
    let numbered = folder.path("numbered");
    for (class, number) in [("cat", "0"), ("dog", "1")] {
        std::fs::create_dir_all(numbered.join("test").join(number)).unwrap();
        for entry in std::fs::read_dir(plain.join("test").join(class)).unwrap().flatten() {
            let target = numbered.join("test").join(number).join(entry.file_name());
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
    let output = palinode(&evaluate(&weights, &numbered));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("0 to 1 were taken as `cat` to `dog`"), "{message}");
    let again: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(again, found);
}

/// Cases 8 and 9: what was left out, and what could not be held out, is said.
#[test]
fn what_the_split_could_not_do_is_said() {
    let folder = Folder::new();
    let data = folder.pictures("data", &["cat", "dog"], [20, 4]);
    for number in 1..20 {
        std::fs::remove_file(data.join(format!("train/cat/{number:03}.png"))).unwrap();
    }
    std::fs::write(data.join("train/dog/notes.txt"), "notes").unwrap();
    std::fs::create_dir(data.join("train/dog/more")).unwrap();
    std::fs::write(data.join("train/README"), "read me").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", data.join("train/dog/gone.png")).unwrap();
    picture("dog", 77).save(data.join("train/dog/a.webp")).unwrap();
    picture("dog", 78).save(data.join("train/dog/b.bmp")).unwrap();
    picture("dog", 79)
        .save_with_format(data.join("train/dog/c.jfif"), image::ImageFormat::Jpeg)
        .unwrap();

    let output = palinode(&folder.train(&data, "run", &["--set", "data.validation=0.5"]));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    let remarks = [
        "train: 1 left out (files outside the classes' folders: 1)",
        "train/dog: 3 left out (.txt files: 1, folders: 1, links that lead nowhere: 1)",
        "no image held out for validation (data.validation is 0.5): cat (of 1)",
    ];
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let page = std::fs::read_to_string(folder.path("run/report.html")).unwrap();
    for remark in remarks {
        assert!(message.contains(&format!("palinode: note: {remark}\n")), "{remark}: {message}");
        assert!(outcome["remarks"].as_array().unwrap().iter().any(|said| said == remark));
        assert!(page.contains(&remark.replace('\'', "&#39;")), "the page does not say: {remark}");
    }
    let info =
        json(&["data", "info", "folder", "--json", "--data-dir", &data.display().to_string()]);
    assert_eq!(info["train_per_class"], serde_json::json!([1, 23]));

    // Nothing held out at all: no page calls anything the best validation.
    let few = folder.pictures("few", &["cat", "dog"], [4, 4]);
    json(&folder.train(&few, "few-run", &["--set", "data.validation=0.1"]));
    let page = std::fs::read_to_string(folder.path("few-run/report.html")).unwrap();
    assert!(page.contains("none held out") && page.contains("the weights of the last epoch"));
    assert!(page.contains("cat (of 4), dog (of 4)") && !page.contains("weights of the best"));
}

/// Cases 22, 23 and 36: files and pairs are named, all of them, every time.
#[test]
fn bad_and_repeated_pictures_are_named() {
    let folder = Folder::new();
    let data = folder.pictures("bad", &["cat", "dog"], [20, 2]);
    std::fs::write(data.join("train/cat/aa.png"), "no picture").unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../palinode-train/tests/pictures");
    std::fs::copy(fixtures.join("palette.png"), data.join("train/dog/zz.png")).unwrap();
    let said: Vec<String> =
        (0..4).map(|_| failure(&folder.train(&data, "bad-run", &[])).1).collect();
    assert!(
        said[0].contains("aa.png: not a picture") && said[0].contains("zz.png: not a valid PNG")
    );
    assert!(said.iter().all(|message| message == &said[0] && message.lines().count() == 1));

    let data = folder.pictures("twice", &["cat", "dog"], [10, 2]);
    std::fs::copy(data.join("train/cat/000.png"), data.join("train/dog/same.png")).unwrap();
    image::open(data.join("train/cat/001.png")).unwrap().save(data.join("test/cat/x.bmp")).unwrap();
    let (code, message) = failure(&folder.train(&data, "twice-run", &[]));
    assert_eq!(code, 2);
    for pair in ["train/cat/000.png = train/dog/same.png", "train/cat/001.png = test/cat/x.bmp"] {
        assert!(message.contains(pair), "{message}");
        let directory = data.display().to_string();
        let info = palinode(&["data", "info", "folder", "--data-dir", &directory]);
        assert!(String::from_utf8_lossy(&info.stdout).contains(pair));
    }
}

/// Cases 3 and 4: orientation and transparency are the same in training and prediction.
#[test]
fn predictions_see_pictures_as_training_did() {
    let folder = Folder::new();
    let root = folder.path("shapes");
    let disc = |x: u32, y: u32, r: u32| x.abs_diff(8).pow(2) + y.abs_diff(8).pow(2) < r;
    let shape = |class: usize, number: u32| {
        RgbaImage::from_fn(16, 16, |x, y| {
            let inside = match class {
                0 => disc(x, y, 30 + number),
                _ => y.abs_diff(8) < 2 + number % 3 && x > number / 3,
            };
            Rgba([0, 0, 0, if inside { 255 } else { 0 }])
        })
    };
    for (split, numbers) in [("train", 0..12), ("test", 12..16)] {
        for (class, name) in ["disc", "bar"].into_iter().enumerate() {
            std::fs::create_dir_all(root.join(split).join(name)).unwrap();
            for number in numbers.clone() {
                let path = root.join(split).join(name).join(format!("{number}.png"));
                shape(class, number).save(path).unwrap();
            }
        }
    }
    let more = ["--set", "data.folder.background=[250, 240, 230]", "--epochs", "12"];
    let mut arguments = folder.train(&root, "run", &["--set", "optimizer.learning_rate=0.05"]);
    let place = arguments.iter().position(|argument| argument == "--epochs").unwrap();
    arguments.drain(place..place + 2);
    arguments.extend(owned(&more));
    let outcome = json(&arguments);
    assert_eq!(outcome["test_accuracy"], 1.0, "the shape is in the alpha channel alone");
    let weights = folder.path("run/weights/best.safetensors").display().to_string();
    let images = folder.path("images.npy").display().to_string();
    let path = root.join("test/disc/12.png").display().to_string();
    json(&["predict", "--weights", &weights, "--images", &images, "--json", &path]);
    let file = palinode::network::WeightFile::load(Path::new(&weights)).unwrap();
    assert_eq!(file.data.background, Some([250, 240, 230]));
    let bytes = std::fs::read(&images).unwrap();
    let corner = f32::from_le_bytes(bytes[bytes.len() - 4..].try_into().unwrap());
    let expected = (230.0 / 255.0 - file.data.mean[2]) / file.data.std[2];
    assert!((f64::from(corner) - expected).abs() < 1e-5, "{corner} is not {expected}");
}

/// Cases 26 and 27: images in the form that the weights want, and splits that are not there.
#[test]
fn weights_bring_the_size_and_a_split_alone_is_enough() {
    let folder = Folder::new();
    let bench = support::Playground::new();
    json(&bench.train("run", 1));
    let weights = bench.path("run/weights/best.safetensors");
    // Ten classes of 28×28, under names that a folder can have. Only test/ is there.
    let classes = [
        "T-shirt_top",
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
    let data = folder.path("fashion");
    for (number, class) in classes.iter().enumerate() {
        let path = data.join("test").join(class);
        std::fs::create_dir_all(&path).unwrap();
        let grey =
            image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(x * y) as u8 ^ number as u8]));
        grey.save(path.join("a.png")).unwrap();
    }
    assert_eq!(json(&evaluate(&weights, &data))["images"], 10);
    let (file, directory) = (weights.display().to_string(), data.display().to_string());
    let on = ["--weights", &file, "--data", "folder", "--data-dir", &directory, "--json"];
    let logits = folder.path("logits.npy").display().to_string();
    assert_eq!(json(&[&["predict", "--logits", &logits][..], &on].concat())["images"], 10);
    assert_eq!(
        json(&[&["bench", "reversal"][..], &on].concat())["rows"].as_array().unwrap().len(),
        1
    );
    let info = json(&["data", "info", "folder", "--data-dir", &directory, "--json"]);
    assert_eq!((info["train"].clone(), info["test"].clone()), (serde_json::Value::Null, 10.into()));

    let data = folder.pictures("untested", &["cat", "dog"], [10, 1]);
    std::fs::remove_dir_all(data.join("test")).unwrap();
    let (_, message) = failure(&folder.train(&data, "untested-run", &[]));
    assert!(message.contains("test: there is no such folder; to train without"), "{message}");
    let outcome = json(&folder.train(&data, "untested-run", &["--set", "training.test=false"]));
    assert_eq!(outcome["test_accuracy"], serde_json::Value::Null);
    let info = palinode(&["data", "info", "folder", "--data-dir", &data.display().to_string()]);
    let text = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(text.contains("20 training and no test images"), "{text}");
}

/// Case 5: no command ends with 0 and a figure that is not a number.
#[test]
fn weights_that_are_no_numbers_are_refused() {
    let folder = Folder::new();
    let bench = support::Playground::new();
    json(&bench.train("run", 1));
    let good = std::fs::read(bench.path("run/weights/best.safetensors")).unwrap();
    let path = folder.path("w.safetensors");
    let file = path.display().to_string();
    let picture_path = folder.path("p.png").display().to_string();
    picture("cat", 1).save(&picture_path).unwrap();
    let data = bench.data().display().to_string();
    let on = ["--data", "fashion-mnist", "--data-dir", &data];
    let commands = [
        [&["eval", "--weights", &file][..], &on].concat(),
        vec!["predict", "--weights", &file, &picture_path],
        [&["bench", "reversal", "--weights", &file][..], &on].concat(),
    ];
    let mut bad = good.clone();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let end = bad.len();
        bad[end - 4..].copy_from_slice(&value.to_le_bytes());
        std::fs::write(&path, &bad).unwrap();
        for command in &commands {
            let (code, message) = failure(command);
            assert!(code == 2 && message.contains("array `units."), "{command:?}: {message}");
        }
    }
    // Finite weights whose logits are not.
    let (mut arrays, metadata) =
        palinode::network::load_arrays(&bench.path("run/weights/best.safetensors")).unwrap();
    arrays.get_mut("stem.weight").unwrap().values.fill(3e38);
    arrays.get_mut("head.weight").unwrap().values.fill(3e38);
    palinode::network::save_arrays(&path, &arrays, &metadata).unwrap();
    for command in &commands {
        let (code, message) = failure(command);
        assert!(code == 3 && message.contains("not finite"), "{command:?}: {message}");
    }
}
