//! Run directories: what may change between two parts of a run, who may work in one, and what is refused.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Playground, failure, interrupted, json, owned, palinode, spawn, wait_for};

/// Arguments that continue a run.
fn resume(run: &Path, more: &[&str]) -> Vec<String> {
    let run = run.display().to_string();
    owned(&[&["train", "--resume", &run, "--json"], more].concat())
}

fn steps(bench: &Playground, out: &str, epochs: usize) -> Vec<String> {
    let mut arguments = bench.train(out, epochs);
    arguments.extend(owned(&["--set", "schedule.kind=steps", "--set", "schedule.drops=[1]"]));
    arguments
}

fn bytes(run: &Path, file: &str) -> Vec<u8> {
    std::fs::read(run.join(file)).unwrap()
}

/// Case 6: the settings of a run that has begun are those of its checkpoint.
#[test]
fn an_edited_recipe_does_not_continue_a_run() {
    let bench = Playground::new();
    let run = interrupted(&bench, "run", 3);
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    let edits = [
        ("seed = 0", "seed = 1", "seed: 0 when the run began, now 1"),
        ("batch_size = 10", "batch_size = 20", "training.batch_size: 10 when"),
        ("validation = 0.1", "validation = 0.2", "data.validation: 0.1 when"),
        ("subset = 1.0", "subset = 0.5", "data.subset: 1.0 when"),
        ("mode = \"reversible\"", "mode = \"stored\"", "training.mode: reversible when"),
        ("learning_rate = 0.01", "learning_rate = 0.1", "optimizer.learning_rate: 0.01 when"),
        ("isa = \"", "isa = \"portable\" # \"", "training.isa: "),
        ("epochs = 3", "epochs = 4", "`--resume DIR --epochs 4` trains on"),
    ];
    for (from, to, words) in edits {
        let edited = config.replacen(from, to, 1);
        assert_ne!(edited, config, "{from}");
        std::fs::write(run.join("config.toml"), edited).unwrap();
        let (code, message) = failure(&resume(&run, &[]));
        assert!(code == 2 && message.contains(words), "{from}: {message}");
    }
    std::fs::write(run.join("config.toml"), &config).unwrap();
    json(&resume(&run, &[]));
    // Also where the run is finished: its result is not that of the edited recipe.
    std::fs::write(run.join("config.toml"), config.replacen("seed = 0", "seed = 1", 1)).unwrap();
    assert!(failure(&resume(&run, &[])).1.contains("seed: 0 when the run began, now 1"));
}

/// Case 7: a run that is trained on equals one that had the epochs from the beginning.
#[test]
fn a_finished_run_is_trained_on() {
    let bench = Playground::new();
    let (short, long) = (bench.path("short"), bench.path("long"));
    json(&steps(&bench, "short", 2));
    json(&steps(&bench, "long", 4));
    let extended = json(&resume(&short, &["--epochs", "4"]));
    assert_eq!(extended["epochs"], 4);
    assert_eq!(extended["tested_after"], serde_json::json!([2]), "the test split was read before");
    assert_eq!(bytes(&short, "weights/last.safetensors"), bytes(&long, "weights/last.safetensors"));
    let page = String::from_utf8(bytes(&short, "report.html")).unwrap();
    assert!(page.contains("read 2 times"), "the page says that the test split was read before");
    assert_eq!(json(&resume(&short, &[])), extended, "the recipe says 4 epochs now");
    assert_eq!(json(&resume(&short, &["--epochs", "4"])), extended);
    let (_, message) = failure(&resume(&short, &["--epochs", "3"]));
    assert!(message.contains("training.epochs: 3, but the run is in its epoch 4"), "{message}");
    let mut arguments = bench.train("cycle", 2);
    arguments.retain(|argument| argument != "--json");
    assert!(palinode(&arguments).status.success());
    let (_, message) = failure(&resume(&bench.path("cycle"), &["--epochs", "4"]));
    assert!(message.contains("`one-cycle` spreads over all epochs"), "{message}");
    json(&resume(&bench.path("cycle"), &["--epochs", "2"]));
}

/// Case 15: one process at a time.
#[test]
fn a_run_that_is_under_way_is_not_resumed() {
    let bench = Playground::new();
    json(&bench.train("whole", 40));
    let run = bench.path("run");
    let mut first = spawn(&bench.train("run", 40));
    wait_for(&run.join("checkpoints/latest.safetensors"));
    for _ in 0..3 {
        let (code, message) = failure(&resume(&run, &[]));
        let holder = format!("in use by process {} on ", first.id());
        assert!(code == 2 && message.contains(&holder), "{message}");
    }
    let (_, message) = failure(&bench.train("run", 40));
    assert!(message.contains("not empty"), "{message}");
    assert!(first.wait().unwrap().success(), "the first process is not disturbed");
    let last = "weights/last.safetensors";
    assert_eq!(bytes(&run, last), bytes(&bench.path("whole"), last));
    // What a killed process leaves is no obstacle.
    let mut killed = spawn(&bench.train("killed", 40));
    wait_for(&bench.path("killed/checkpoints/latest.safetensors"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    json(&resume(&bench.path("killed"), &[]));
    assert_eq!(bytes(&bench.path("killed"), last), bytes(&bench.path("whole"), last));
}

/// Case 16: runs that are started at once have directories of their own.
#[test]
fn default_directories_are_different_ones() {
    let bench = Playground::new();
    let mut arguments = bench.train("unused", 1);
    let place = arguments.iter().position(|argument| argument == "--out").unwrap();
    arguments.drain(place..place + 2);
    let runs: Vec<_> = (0..3).map(|_| bench.spawn_inside(&arguments)).collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let made = std::fs::read_dir(bench.path("runs")).unwrap().flatten();
    let mut names: Vec<String> =
        made.map(|run| run.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let name = "hamiltonian-fashion-mnist-seed0";
    assert_eq!(names, [name.to_owned(), format!("{name}-2"), format!("{name}-3")]);
    // A run that is refused leaves no directory.
    arguments.extend(owned(&["--set", "training.start=nowhere"]));
    assert!(!bench.spawn_inside(&arguments).wait().unwrap().success());
    assert_eq!(std::fs::read_dir(bench.path("runs")).unwrap().count(), 3);
}

/// Case 18: the images may have moved, but they must be the same.
#[test]
fn moved_images_are_named_when_a_run_goes_on() {
    let bench = Playground::new();
    let run = interrupted(&bench, "run", 3);
    let moved = bench.path("moved");
    std::fs::rename(bench.data(), &moved).unwrap();
    let (code, message) = failure(&resume(&run, &[]));
    assert!(code == 2 && message.contains("is not there; name where"), "{message}");
    let there = moved.display().to_string();
    let images = moved.join("t10k-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    let mut changed = whole.clone();
    changed[5000] ^= 1;
    std::fs::write(&images, changed).unwrap();
    let (_, message) = failure(&resume(&run, &["--data-dir", &there]));
    assert!(message.contains("the test images are not those this run began with"), "{message}");
    std::fs::write(&images, whole).unwrap();
    json(&resume(&run, &["--data-dir", &there]));
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("moved"), "the recipe names the new place: {config}");
}

/// Case 18: images that were found in data/ are found again from another directory.
#[test]
fn images_that_were_found_are_recorded_with_an_absolute_path() {
    let bench = Playground::new();
    std::fs::create_dir(bench.path("inside")).unwrap();
    std::fs::create_dir(bench.path("inside/data")).unwrap();
    std::fs::rename(bench.data(), bench.path("inside/data/fashion-mnist")).unwrap();
    let mut arguments = bench.train("run", 2);
    let place = arguments.iter().position(|argument| argument == "--data-dir").unwrap();
    arguments.drain(place..place + 2);
    let mut child = support::spawn_in(&bench.path("inside"), &arguments);
    wait_for(&bench.path("run/checkpoints/latest.safetensors"));
    child.kill().unwrap();
    child.wait().unwrap();
    json(&resume(&bench.path("run"), &[]));
}

/// Case 19: names that are not UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_whose_name_is_not_text_works() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Playground::new();
    let name = std::ffi::OsStr::from_bytes(b"r\xffn");
    let out = bench.path("x").with_file_name(name);
    let mut arguments: Vec<std::ffi::OsString> =
        bench.train("unused", 1).into_iter().map(Into::into).collect();
    let place = arguments.iter().position(|argument| argument == "--out").unwrap();
    arguments[place + 1] = out.clone().into();
    let output = support::run_os(&arguments);
    assert!(output.status.success(), "{output:?}");
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(outcome["run"].as_str().unwrap().ends_with("r\u{fffd}n"));
    let weights = out.join("weights/best.safetensors");
    let picture = out.join(std::ffi::OsStr::from_bytes(b"p\xfe.png"));
    image::GrayImage::new(28, 28).save_with_format(&picture, image::ImageFormat::Png).unwrap();
    let arguments =
        ["predict".into(), "--json".into(), "--weights".into(), weights.into(), picture.into()];
    let output = support::run_os(&arguments);
    assert!(output.status.success(), "{output:?}");
}

/// Case 20: what a run that never started left behind.
#[test]
fn a_run_killed_before_its_first_step_is_begun_again() {
    let bench = Playground::new();
    json(&bench.train("whole", 2));
    let last = "weights/last.safetensors";
    let mut early = 0;
    for (trial, delay) in (0..24).map(|trial| (trial, Duration::from_millis(2 * trial))) {
        let name = format!("run{trial}");
        let run = bench.path(&name);
        let mut child = spawn(&bench.train(&name, 2));
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        let started = run.join("checkpoints/latest.safetensors").is_file();
        early += usize::from(run.is_dir() && !started);
        if started || (trial % 2 == 0 && run.join("config.toml").is_file()) {
            json(&resume(&run, &[]));
        } else {
            json(&bench.train(&name, 2));
        }
        assert_eq!(bytes(&run, last), bytes(&bench.path("whole"), last), "{delay:?}");
    }
    println!("{early} runs were killed between their directory and their first checkpoint");
    // All the states that such a kill can leave, one by one.
    let leave = |name: &str, files: &[&str]| -> PathBuf {
        let run = bench.path(name);
        for folder in ["weights", "checkpoints"] {
            std::fs::create_dir_all(run.join(folder)).unwrap();
        }
        for file in files {
            std::fs::copy(bench.path("whole").join(file), run.join(file)).unwrap();
        }
        run
    };
    for (name, files) in [
        ("a", &["palinode.lock"][..]),
        ("b", &["palinode.lock", "config.toml"]),
        ("c", &["palinode.lock", "config.toml", "weights/init.safetensors"]),
    ] {
        let run = leave(name, files);
        json(&bench.train(name, 2));
        assert_eq!(bytes(&run, last), bytes(&bench.path("whole"), last));
    }
    let run = leave("d", &["palinode.lock", "config.toml"]);
    json(&resume(&run, &[]));
    // Killed again, in the epoch before its first checkpoint would have come: it has one from the beginning.
    let run = leave("d2", &["palinode.lock", "config.toml"]);
    let mut child = spawn(&resume(&run, &[]));
    wait_for(&run.join("checkpoints/latest.safetensors"));
    child.kill().unwrap();
    child.wait().unwrap();
    json(&resume(&run, &[]));
    assert_eq!(bytes(&run, last), bytes(&bench.path("whole"), last));
    // More epochs than the recipe says: the recipe says so from then on.
    std::fs::remove_dir_all(bench.path("d2")).unwrap();
    json(&steps(&bench, "steps", 2));
    let run = bench.path("d2");
    for folder in ["weights", "checkpoints"] {
        std::fs::create_dir_all(run.join(folder)).unwrap();
    }
    for file in ["palinode.lock", "config.toml"] {
        std::fs::copy(bench.path("steps").join(file), run.join(file)).unwrap();
    }
    assert_eq!(json(&resume(&run, &["--epochs", "3"]))["epochs"], 3);
    assert_eq!(json(&resume(&run, &[]))["epochs"], 3);
    let run = leave("e", &["palinode.lock"]);
    assert!(failure(&resume(&run, &[])).1.contains("begin it again with --out"));
    // A folder of the user's own with a recipe in it is no leftover, nor are the weights of a finished run.
    leave("f", &["config.toml"]);
    leave("g", &["palinode.lock", "config.toml", "weights/best.safetensors"]);
    for name in ["f", "g"] {
        assert!(failure(&bench.train(name, 2)).1.contains("not empty"));
    }
}

/// Case 24: links lead out of the run directory.
#[cfg(unix)]
#[test]
fn linked_folders_are_refused() {
    let bench = Playground::new();
    for folder in ["weights", "checkpoints"] {
        let run = interrupted(&bench, folder, 3);
        let elsewhere = bench.path(&format!("{folder}-elsewhere"));
        std::fs::rename(run.join(folder), &elsewhere).unwrap();
        std::fs::write(elsewhere.join(".palinode-1-1.tmp"), "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, run.join(folder)).unwrap();
        let (code, message) = failure(&resume(&run, &[]));
        assert!(code == 2 && message.contains("a symbolic link"), "{message}");
        assert!(elsewhere.join(".palinode-1-1.tmp").is_file(), "something was deleted there");
    }
}

/// Case 25: a damaged checkpoint is noticed, and the one before it serves.
#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_it() {
    let bench = Playground::new();
    let whole = bench.path("whole");
    json(&bench.train("whole", 3));
    let last = "weights/last.safetensors";
    let flips = [0.1, 0.3, 0.5, 0.7, 0.9, 0.999];
    for (trial, place) in flips.into_iter().enumerate() {
        let run = interrupted(&bench, &format!("run{trial}"), 3);
        let latest = run.join("checkpoints/latest.safetensors");
        let mut damaged = std::fs::read(&latest).unwrap();
        let at = (damaged.len() as f64 * place) as usize;
        damaged[at] ^= 1 << trial;
        std::fs::write(&latest, &damaged).unwrap();
        let output = palinode(&resume(&run, &["--quiet"]));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{message}");
        assert!(message.contains("latest.safetensors: "), "{message}");
        assert!(message.contains("goes on from the checkpoint before it"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert_eq!(bytes(&run, "checkpoints/damaged.safetensors"), damaged);
        assert_eq!(bytes(&run, last), bytes(&whole, last));
    }
    // A finished run has its result without them; it cannot be trained on.
    for which in ["latest", "previous"] {
        std::fs::write(whole.join(format!("checkpoints/{which}.safetensors")), "old").unwrap();
    }
    assert_eq!(json(&resume(&whole, &[]))["epochs"], 3);
    let (code, message) = failure(&resume(&whole, &["--epochs", "5"]));
    assert!(code == 2 && message.contains("latest.safetensors: not a safetensors"), "{message}");
    assert!(palinode(&["report", &whole.display().to_string()]).status.success());
    let run = interrupted(&bench, "both", 3);
    for which in ["latest", "previous"] {
        let path = run.join(format!("checkpoints/{which}.safetensors"));
        let mut damaged = std::fs::read(&path).unwrap();
        let place = damaged.len() - 3;
        damaged[place] ^= 4;
        std::fs::write(path, damaged).unwrap();
    }
    let (code, message) = failure(&resume(&run, &[]));
    assert!(code == 2 && message.contains("latest.safetensors: damaged"), "{message}");
}

/// The best weights belong to the run that wrote them.
#[test]
fn best_weights_of_another_run_are_not_reported() {
    let bench = Playground::new();
    json(&steps(&bench, "whole", 6));
    json(&[steps(&bench, "other", 1), owned(&["--seed", "9"])].concat());
    let best = "weights/best.safetensors";
    // Stopped in the middle of an epoch that is not the first.
    let stopped = |name: &str| {
        let run = bench.path(name);
        let mut child = spawn(&steps(&bench, name, 6));
        wait_for(&run.join("metrics.csv"));
        support::signal(&child, "TERM");
        child.wait().unwrap();
        run
    };
    let run = stopped("kept");
    json(&resume(&run, &[]));
    assert_eq!(bytes(&run, best), bytes(&bench.path("whole"), best));
    for (name, content) in [("missing", None), ("foreign", Some(bytes(&bench.path("other"), best)))]
    {
        let run = stopped(name);
        match content {
            None => std::fs::remove_file(run.join(best)).unwrap(),
            Some(content) => std::fs::write(run.join(best), content).unwrap(),
        }
        let output = palinode(&resume(&run, &["--quiet"]));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{message}");
        // Either the checkpoint has the same weights, or the loss is said.
        let recovered = bytes(&run, best) == bytes(&bench.path("whole"), best);
        assert!(recovered || message.contains("is lost, and the best of the epochs"), "{message}");
        assert_eq!(
            bytes(&run, "weights/last.safetensors"),
            bytes(&bench.path("whole"), "weights/last.safetensors")
        );
    }
    // A result that is older than the checkpoint is no result.
    let run = stopped("stale");
    std::fs::copy(bench.path("whole/result.json"), run.join("result.json")).unwrap();
    json(&resume(&run, &[]));
    assert_eq!(bytes(&run, best), bytes(&bench.path("whole"), best));
    let (_, message) = failure(&resume(&run, &["--data-dir", "/nowhere"]));
    assert!(message.contains("data.dir: the run is finished"), "{message}");
    std::fs::write(run.join("result.json"), "{").unwrap();
    assert!(failure(&resume(&run, &[])).1.contains("without this file, the run is finished again"));
}
