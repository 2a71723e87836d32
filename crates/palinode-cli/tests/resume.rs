//! Runs that are killed, interrupted or run on other thread counts end in the same bits.
#![allow(clippy::unwrap_used)]

mod support;

use palinode::network::load_arrays;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Moments, Playground, json, palinode, spawn};

/// What draws random numbers or remembers something from step to step.
const EVERYTHING: [&str; 18] = [
    "--set",
    "model.block_norm=true",
    "--set",
    "model.block_dropout=0.2",
    "--set",
    "model.dropout=0.3",
    "--set",
    "model.survival=0.7",
    "--set",
    "smoothness.kind=step",
    "--set",
    "data.subset=0.5",
    "--set",
    "data.mean=pixel",
    "--set",
    "training.average=0.9",
    "--set",
    "training.label_smoothing=0.1",
];

/// Muon for the kernels and AdamW for the rest, two batches to a step.
const MUON: [&str; 8] = [
    "--set",
    "optimizer.name=muon",
    "--set",
    "optimizer.learning_rate=0.003",
    "--set",
    "training.accumulate=2",
    "--batch-size",
    "10",
];

/// Panics unless two runs have the same weights, momentum and metrics.
fn assert_same(a: &Path, b: &Path) {
    for weights in ["init", "best", "last"] {
        let bytes =
            |run: &Path| std::fs::read(run.join(format!("weights/{weights}.safetensors"))).unwrap();
        assert!(bytes(a) == bytes(b), "{weights} differs between {a:?} and {b:?}");
    }
    let arrays = |run: &Path| load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap().0;
    let (a_arrays, b_arrays) = (arrays(a), arrays(b));
    assert!(a_arrays.keys().any(|name| name == "optimizer.momentum.units.0.kernel"));
    assert!(a_arrays == b_arrays, "weights or the state of the optimiser differ");
    // epoch, split, loss, accuracy, learning_rate; the rest is time and memory.
    let metrics = |run: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
        text.lines().map(|line| line.splitn(6, ',').take(5).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(metrics(a), metrics(b));
}

#[test]
fn threads_do_not_change_a_bit() {
    let bench = Playground::new();
    let wide = ["--set", "model.widths=[32, 64, 128]", "--batch-size", "45"];
    let kinds: [(&str, &[&str]); 5] = [
        ("narrow", &[]),
        // The kernels of this project, and Burn's convolutions on its large-matrix paths.
        ("wide", &wide),
        ("wide-stored", &[&wide[..], &["--mode", "stored"]].concat()),
        ("everything", &EVERYTHING),
        ("muon", &[&MUON[..6], &wide].concat()),
    ];
    for (kind, more) in kinds {
        let name = |threads: &str| format!("{kind}{threads}");
        for threads in ["1", "2"] {
            let mut arguments = bench.train(&name(threads), 1);
            if let Some(place) = more.iter().position(|a| *a == "--batch-size") {
                let own = arguments.iter().position(|a| a == "--batch-size").unwrap();
                arguments[own + 1] = more[place + 1].to_owned();
            }
            let settings = more.iter().filter(|a| !["--batch-size", "45"].contains(a));
            arguments.extend(settings.map(|&a| a.to_owned()));
            arguments.extend(["--threads".to_owned(), threads.to_owned()]);
            json(&arguments);
        }
        assert_same(&bench.path(&name("1")), &bench.path(&name("2")));
    }
}

#[test]
fn modes_train_alike_and_seeds_differ() {
    let bench = Playground::new();
    let accuracy = |name: &str, more: &[&str]| {
        let mut arguments = bench.train(name, 1);
        arguments.extend(more.iter().map(|&s| s.to_owned()));
        json(&arguments)["test_loss"].as_f64().unwrap()
    };
    let reversible = accuracy("r", &[]);
    let stored = accuracy("s", &["--mode", "stored"]);
    let checkpointed = accuracy("c", &["--mode", "checkpointed"]);
    let other = accuracy("o", &["--seed", "1"]);
    assert!((reversible - stored).abs() < 1e-3 && (reversible - checkpointed).abs() < 1e-3);
    assert!((reversible - other).abs() > 1e-3, "the seed changes nothing");
}

#[test]
fn a_killed_run_resumes_to_the_same_bits() {
    let bench = Playground::new();
    let began = Instant::now();
    let whole = json(&bench.train("whole", 6));
    let length = began.elapsed();
    let mut moments = Moments::seeded();
    let mut landed = 0;
    for trial in 0..6 {
        let name = format!("killed{trial}");
        let run = bench.path(&name);
        let mut child = spawn(&bench.train(&name, 6));
        let moment = moments.within(length);
        std::thread::sleep(moment);
        let alive = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        let begun = run.join("config.toml").is_file();
        println!("trial {trial}: killed after {moment:?}, alive {alive}, begun {begun}");
        landed += usize::from(alive && begun);
        if !begun {
            // Killed before there was a run; starting it again is all there is to do.
            json(&bench.train(&name, 6));
        }
        // A second kill, while it resumes.
        let resume = ["train", "--resume", &run.display().to_string(), "--json"];
        let mut child = spawn(&resume);
        std::thread::sleep(moments.within(length));
        child.kill().unwrap();
        child.wait().unwrap();
        let resumed = json(&resume);
        assert_eq!(resumed["test_accuracy"], whole["test_accuracy"]);
        assert_eq!(resumed["test_loss"], whole["test_loss"]);
        assert_same(&bench.path("whole"), &run);
        // Once finished, resuming reports the result and changes nothing.
        assert_eq!(json(&resume), resumed);
    }
    assert!(landed >= 2, "only {landed} of the kills hit a run under way");
}

#[test]
fn an_interrupted_run_saves_in_the_middle_of_an_epoch_and_resumes() {
    for more in [&[][..], &EVERYTHING, &MUON[..6]] {
        let bench = Playground::new();
        let train = |out: &str| {
            let mut arguments = bench.train(out, 3);
            arguments.extend(more.iter().map(|&argument: &&str| argument.to_owned()));
            arguments
        };
        json(&train("whole"));
        let run = bench.path("stopped");
        let child = spawn(&train("stopped"));
        // The moment the run exists, it listens.
        while !run.join("checkpoints/latest.safetensors").is_file() {
            std::thread::sleep(Duration::from_millis(2));
        }
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let status = { child }.wait().unwrap();
        assert_eq!(status.code(), Some(130));
        let (_, metadata) = load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap();
        let position: serde_json::Value =
            serde_json::from_str(&metadata["palinode.position"]).unwrap();
        assert_eq!(position["epoch"], 0);
        assert!(position["step"].as_u64().unwrap() > 0, "stopped in the middle: {position}");
        let resume = palinode(&["train", "--resume", &run.display().to_string()]);
        assert!(resume.status.success());
        assert_same(&bench.path("whole"), &run);
    }
}
