//! Runs that are killed, interrupted or run on other thread counts end in the same bits.
#![allow(clippy::unwrap_used)]

mod support;

use palinode::network::load_arrays;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{Bench, json, palinode, spawn};

/// Panics unless two runs have the same weights, momentum and metrics.
fn assert_same(a: &Path, b: &Path) {
    for weights in ["init", "best", "last"] {
        let bytes =
            |run: &Path| std::fs::read(run.join(format!("weights/{weights}.safetensors"))).unwrap();
        assert!(bytes(a) == bytes(b), "{weights} differs between {a:?} and {b:?}");
    }
    let arrays = |run: &Path| load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap().0;
    let (a_arrays, b_arrays) = (arrays(a), arrays(b));
    assert!(a_arrays.keys().any(|name| name.starts_with("momentum.units.0.kernel")));
    assert!(a_arrays == b_arrays, "weights or momentum differ");
    // epoch, split, loss, accuracy, learning_rate; the rest is time and memory.
    let metrics = |run: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
        text.lines().map(|line| line.splitn(6, ',').take(5).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(metrics(a), metrics(b));
}

#[test]
fn threads_do_not_change_a_bit() {
    let bench = Bench::new();
    for threads in ["1", "2"] {
        let mut arguments = bench.train(threads, 2);
        arguments.extend(["--threads".to_owned(), threads.to_owned()]);
        json(&arguments);
    }
    assert_same(&bench.path("1"), &bench.path("2"));
}

#[test]
fn modes_train_alike_and_seeds_differ() {
    let bench = Bench::new();
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
    let bench = Bench::new();
    let whole = json(&bench.train("whole", 4));
    // Moments spread over the run, among them before the first checkpoint.
    for (index, milliseconds) in [5, 60, 150, 400, 800].into_iter().enumerate() {
        let name = format!("killed{index}");
        let mut child = spawn(&bench.train(&name, 4));
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let run = bench.path(&name);
        if !run.join("config.toml").is_file() {
            // Killed before there was a run; starting it again is all there is to do.
            let _ = std::fs::remove_dir_all(&run);
            json(&bench.train(&name, 4));
        }
        // A second kill, while it resumes.
        let resume = ["train", "--resume", &run.display().to_string(), "--json"];
        let mut child = spawn(&resume);
        std::thread::sleep(Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        let resumed = json(&resume);
        assert_eq!(resumed["test_accuracy"], whole["test_accuracy"]);
        assert_eq!(resumed["test_loss"], whole["test_loss"]);
        assert_same(&bench.path("whole"), &run);
        // Once finished, resuming reports the result and changes nothing.
        assert_eq!(json(&resume), resumed);
    }
}

#[test]
fn an_interrupted_run_saves_in_the_middle_of_an_epoch_and_resumes() {
    let bench = Bench::new();
    json(&bench.train("whole", 3));
    let run = bench.path("stopped");
    let child = spawn(&bench.train("stopped", 3));
    // The moment the run exists, it listens.
    while !run.join("checkpoints/latest.safetensors").is_file() {
        std::thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = { child }.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let (_, metadata) = load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap();
    let position: serde_json::Value = serde_json::from_str(&metadata["palinode.position"]).unwrap();
    assert_eq!(position["epoch"], 0);
    assert!(position["step"].as_u64().unwrap() > 0, "stopped in the middle: {position}");
    let resume = palinode(&["train", "--resume", &run.display().to_string()]);
    assert!(resume.status.success());
    assert_same(&bench.path("whole"), &run);
}
