//! Pictures in folders, read when they are needed, by one process and by several ranks.
#![allow(clippy::unwrap_used)]

mod support;

use palinode::Context;
use palinode::ranks::{Group, threads::links};
use palinode_train::data::{ImageSource, Selection, SourceName, Split};
use palinode_train::recipe::Recipe;
use palinode_train::train::{
    Changes, FirstReading, Machine, Observer, Progress, SplitOptions, TrainingData, Unobserved,
    read_rows, resume, train,
};
use palinode_train::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use support::{Noise, StopAfter, on_ranks};

/// The file of a picture.
fn file(root: &Path, split: &str, class: usize, number: usize) -> PathBuf {
    root.join(format!("{split}/{class}/{number:02}.png"))
}

/// Pictures of noise: of each of three classes, eight to train on and four to test on.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (split, count) in [("train", 8), ("test", 4)] {
        for (class, number) in (0..3).flat_map(|class| (0..count).map(move |n| (class, n))) {
            let path = file(folder.path(), split, class, number);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let seed = (count * 100 + class * 10 + number) as u32;
            let pixel = |x: u32, y: u32| {
                let noise = (x * 31 + y * 17 + seed * 101).wrapping_mul(2_654_435_761);
                image::Rgb([(noise >> 24) as u8, (noise >> 16) as u8, (noise >> 8) as u8])
            };
            image::RgbImage::from_fn(10, 12, pixel).save(path).unwrap();
        }
    }
    folder
}

fn recipe(root: &Path, memory: Option<u64>) -> Recipe {
    let memory = memory.map_or_else(String::new, |memory| format!("memory = {memory}"));
    let text = format!(
        "recipe_version = 1\n\
         [model]\nname = \"hamiltonian\"\nblocks = [1, 1, 1]\nwidths = [4, 4, 4]\n\
         [data]\nname = \"folder\"\ndir = '{}'\nvalidation = 0.25\n{memory}\n\
         [data.folder]\nsize = [8, 8]\n\
         [augmentation]\ncrop_padding = 2\n\
         [training]\nepochs = 2\nbatch_size = 5\n",
        root.display()
    );
    Recipe::parse(&text, Path::new("recipe.toml"), &[]).unwrap()
}

/// The weights of a run, its losses and accuracies, and those of the test.
fn result(run: &Path) -> (Vec<u8>, Vec<[u64; 2]>, Vec<u8>) {
    let rows = read_rows(&run.join("metrics.csv")).unwrap();
    let bits = rows.iter().map(|row| [row.loss.to_bits(), row.accuracy.to_bits()]).collect();
    let test: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("result.json")).unwrap()).unwrap();
    let test = format!("{} {}", test["test_loss"], test["test_accuracy"]);
    (std::fs::read(run.join("weights/last.safetensors")).unwrap(), bits, test.into_bytes())
}

#[test]
fn the_bits_do_not_depend_on_what_is_kept_in_memory_or_on_the_ranks() {
    let (data, runs) = (folder(), tempfile::tempdir().unwrap());
    let out = |name: &str| runs.path().join(name);
    let threads = Context::builder().threads(2);
    train(recipe(data.path(), None), out("kept").as_path(), threads, &mut Unobserved).unwrap();
    let expected = result(&out("kept"));
    train(recipe(data.path(), Some(0)), out("again").as_path(), threads, &mut Unobserved).unwrap();
    assert!(result(&out("again")) == expected, "decoded again in every epoch");
    for (ranks, memory) in [(2, Some(0)), (4, None)] {
        let run = out(&ranks.to_string());
        on_ranks(ranks, |machine| {
            train(recipe(data.path(), memory), run.as_path(), machine, &mut Unobserved).unwrap();
        });
        assert!(result(&run) == expected, "{ranks} ranks");
    }
}

/// Noise that counts how often it is read, as if from files.
struct Counted(Noise, Arc<AtomicUsize>);

impl ImageSource for Counted {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn channels(&self) -> usize {
        self.0.channels()
    }
    fn size(&self) -> [usize; 2] {
        self.0.size()
    }
    fn classes(&self) -> &[String] {
        self.0.classes()
    }
    fn label(&self, index: usize) -> usize {
        self.0.label(index)
    }
    fn listing(&self) -> Option<u32> {
        Some(7)
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(index, into)
    }
}

#[test]
fn every_rank_reads_its_share_of_the_first_reading() {
    let alone = TrainingData::split(Noise::in_classes(3), SplitOptions::default()).unwrap();
    for ranks in [2, 4] {
        let found = on_ranks(ranks, |machine| {
            let read = Arc::new(AtomicUsize::new(0));
            let source = Arc::new(Counted(Noise::in_classes(3), Arc::clone(&read)));
            let mut told = 0;
            let mut progress = |_, images| told = images;
            let mut reading = FirstReading::new(&machine, &mut progress);
            let data =
                TrainingData::split_by(source, SplitOptions::default(), &mut reading).unwrap();
            assert_eq!(told, 32 / ranks);
            (read.load(Ordering::Relaxed), data.info().clone())
        });
        for (read, info) in found {
            assert_eq!(read, 32 / ranks);
            assert_eq!(&info, alone.info(), "the statistics are those of all training images");
        }
    }
}

#[test]
fn images_that_are_too_few_to_share_are_read_by_the_first_rank() {
    let found = on_ranks(4, |machine| {
        let read = Arc::new(AtomicUsize::new(0));
        let source = Counted(Noise::in_classes(2), Arc::clone(&read));
        let few = Arc::new(Selection::new(source, vec![0, 1, 3]).unwrap());
        let mut progress = |_, _| ();
        let mut reading = FirstReading::new(&machine, &mut progress);
        let options = SplitOptions::default().with_validation(0.0);
        let data = TrainingData::split_by(few, options, &mut reading).unwrap();
        (read.load(Ordering::Relaxed), data.info().clone())
    });
    assert_eq!(found.iter().map(|(read, _)| *read).collect::<Vec<_>>(), [3, 0, 0, 0]);
    assert!(found.iter().all(|(_, info)| *info == found[0].1));
}

#[test]
fn a_run_goes_on_with_another_memory() {
    let (data, runs) = (folder(), tempfile::tempdir().unwrap());
    let (whole, parts) = (runs.path().join("whole"), runs.path().join("parts"));
    let threads = Context::builder().threads(2);
    train(recipe(data.path(), None), whole.as_path(), threads, &mut Unobserved).unwrap();
    let stopped = train(recipe(data.path(), Some(1)), parts.as_path(), threads, &mut StopAfter(6));
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
    let changes = Changes::default().with_memory(Some(0));
    resume(&parts, threads, &changes, &mut Unobserved).unwrap();
    assert!(result(&parts) == result(&whole));
    let config = std::fs::read_to_string(parts.join("config.toml")).unwrap();
    assert!(config.contains("memory = 0"), "{config}");
}

#[test]
fn memory_is_for_all_processes_of_a_machine() {
    let data = recipe(Path::new("nowhere"), Some(3)).data;
    let images = |processes| {
        let mut room = data.room(&[("a step", 1000)], processes).unwrap();
        let source = Counted(Noise::in_classes(2), Arc::default());
        let kept = room.keep(Arc::new(source));
        assert_eq!(kept.len(), 32);
        format!("{room:?}")
    };
    // 32 images of 64 bytes, and as much beside each.
    assert_eq!(images(1), "Room { bytes: 2995904, left_out: 0 }");
    assert_eq!(images(2), "Room { bytes: 1495904, left_out: 0 }");
    let all = data.room(&[("a step", u64::MAX / 2)], 8).unwrap_err().to_string();
    assert!(all.contains("kept pictures (data.memory) 3 MB"), "{all}");
}

/// Overwrites a picture after the first step.
struct Overwrite(PathBuf);

impl Observer for Overwrite {
    fn step(&mut self, _: &Progress) {
        let new = self.0.with_extension("new.png");
        image::RgbImage::new(10, 12).save(&new).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }
}

#[test]
fn a_picture_that_changes_while_a_run_is_under_way_ends_it() {
    let (data, runs) = (folder(), tempfile::tempdir().unwrap());
    let run = runs.path().join("run");
    let changed = file(data.path(), "train", 1, 3);
    let message = train(
        recipe(data.path(), Some(0)),
        run.as_path(),
        Context::builder(),
        &mut Overwrite(changed),
    );
    let message = message.unwrap_err().to_string();
    assert!(message.starts_with("train/1/03.png: is not the picture any more"), "{message}");
}

/// (Threads have nobody to end the others: these see that a rank is gone.)
#[test]
fn a_picture_that_changes_ends_all_ranks() {
    let (data, runs) = (folder(), tempfile::tempdir().unwrap());
    let changed = file(data.path(), "train", 1, 3);
    let groups: Vec<Group> = links(2).into_iter().map(|l| Group::new(l).unwrap()).collect();
    let ends: Vec<bool> = thread::scope(|threads| {
        let spawn = |group: Group| {
            let (root, run, changed) = (data.path(), runs.path().join("run"), changed.clone());
            threads.spawn(move || {
                let machine = Machine::from(Context::builder().threads(1));
                let mut observer: Box<dyn Observer> = match group.rank() {
                    0 => Box::new(Overwrite(changed)),
                    _ => Box::new(Unobserved),
                };
                let machine = machine.with_group(Some(Arc::new(group)));
                let recipe = recipe(root, Some(0));
                train(recipe, run.as_path(), machine, observer.as_mut()).unwrap_err()
            })
        };
        let spawned: Vec<_> = groups.into_iter().map(spawn).collect();
        let end = |thread: thread::ScopedJoinHandle<'_, Error>| match thread.join() {
            Ok(error) => error.to_string().starts_with("train/1/03.png"),
            Err(_) => false,
        };
        spawned.into_iter().map(end).collect()
    });
    assert!(ends.contains(&true), "no rank has noticed it");
}

#[test]
fn a_rank_with_other_files_is_named() {
    let (data, other) = (folder(), folder());
    image::RgbImage::new(10, 12).save(file(other.path(), "train", 2, 1)).unwrap();
    let runs = tempfile::tempdir().unwrap();
    let message = |change: fn(&Path, &Path) -> PathBuf| {
        let messages = on_ranks(2, |machine| {
            let place = match machine.is_first() {
                true => data.path().to_owned(),
                false => change(data.path(), other.path()),
            };
            let source = SourceName::Folder.load(Some(&place), Split::Train).unwrap();
            let mut progress = |_, _| ();
            let mut reading = FirstReading::new(&machine, &mut progress);
            TrainingData::split_by(source, SplitOptions::default(), &mut reading)
                .err()
                .map(|error| error.to_string())
        });
        assert_eq!(messages[0], messages[1]);
        messages[0].clone()
    };
    assert_eq!(message(|same, _| same.to_owned()), None);
    let found = message(|_, other| other.to_owned()).unwrap();
    assert!(
        found.starts_with("rank 1 on ") && found.contains("by name and size is 24 images"),
        "{found}"
    );
    std::fs::remove_file(file(other.path(), "train", 2, 1)).unwrap();
    let found = message(|_, other| other.to_owned()).unwrap();
    assert!(found.contains("is 23 images") && found.contains("and 24 images"), "{found}");

    // Another recipe is noticed before any picture is read.
    let messages = on_ranks(2, |machine| {
        let mut own = recipe(data.path(), None);
        if !machine.is_first() {
            own.training.batch_size = 6;
        }
        train(own, runs.path().join("run").as_path(), machine, &mut Unobserved).unwrap_err()
    });
    assert!(
        matches!(&messages[0], Error::OtherRank { rank: 1, what, .. } if what == "training.batch_size")
    );
}

#[test]
fn broken_pictures_are_named_on_all_ranks() {
    let (data, runs) = (folder(), tempfile::tempdir().unwrap());
    for (class, number) in [(0, 1), (2, 7)] {
        std::fs::write(file(data.path(), "train", class, number), b"broken").unwrap();
    }
    let messages = on_ranks(2, |machine| {
        let out = runs.path().join("run");
        let error = train(recipe(data.path(), None), out.as_path(), machine, &mut Unobserved);
        error.unwrap_err().to_string()
    });
    assert_eq!(messages[0], messages[1]);
    assert!(messages[0].starts_with("2 pictures cannot be read: "), "{}", messages[0]);
    let places = ["train/0/01.png", "train/2/07.png"].map(|name| messages[0].find(name).unwrap());
    assert!(places[0] < places[1], "{}", messages[0]);
}
