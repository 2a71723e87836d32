//! How the program ends: by signals, and where nobody reads what it writes.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Playground, json, palinode, signal, spawn, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_palinode");

/// Runs a line of the shell's with `palinode` as `$0` and returns the exit code and stderr.
fn shell(line: &str, arguments: &[String]) -> (i32, String) {
    let output = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {line}"), PROGRAM])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), message)
}

/// Case 17: Slurm, systemd and docker send SIGTERM, a closed terminal SIGHUP.
#[test]
fn every_signal_saves_and_has_its_exit_code() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let bench = Playground::new();
        json(&bench.train("whole", 3));
        let run = bench.path("run");
        let mut child = Command::new(PROGRAM)
            .args(bench.train("run", 3))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&run.join("checkpoints/latest.safetensors"));
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(code), "SIG{name}");
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert!(message.contains("continue with --resume"), "{message}");
        let resume = palinode(&["train", "--resume", &run.display().to_string()]);
        let message = String::from_utf8_lossy(&resume.stderr).into_owned();
        assert!(resume.status.success(), "{message}");
        assert!(message.contains("going on "), "{message}");
        let weights =
            |name: &str| std::fs::read(bench.path(name).join("weights/last.safetensors")).unwrap();
        assert_eq!(weights("run"), weights("whole"));
    }
}

/// Case 17: who asks twice does not want to wait. A step of this run takes many seconds.
#[test]
fn a_second_signal_ends_the_program_at_once() {
    let bench = Playground::new();
    let mut arguments = bench.train("run", 1000);
    arguments.retain(|argument| !argument.starts_with("model."));
    let slow =
        ["model.blocks=[120,120,120]", "model.widths=[64,64,64]", "training.accumulate=1000"];
    // The settings that were removed leave their `--set`s.
    let mut settings = slow.iter();
    let mut filled = Vec::new();
    for (place, argument) in arguments.iter().enumerate() {
        filled.push(argument.clone());
        let next = arguments.get(place + 1);
        if argument == "--set" && next.is_none_or(|next| next == "--set") {
            filled.push((*settings.next().unwrap()).to_owned());
        }
    }
    let mut child = spawn(&filled);
    wait_for(&bench.path("run/checkpoints/latest.safetensors"));
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for the end of the step");
    let asked = Instant::now();
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

/// A run that `nohup` started goes on when its terminal closes.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let bench = Playground::new();
    let mut child = Command::new("nohup")
        .arg(PROGRAM)
        .args(bench.train("run", 20))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&bench.path("run/checkpoints/latest.safetensors"));
    signal(&child, "HUP");
    assert!(child.wait().unwrap().success());
}

/// Case 14: output that nobody reads ends the output, not the training.
#[test]
fn closed_pipes_and_full_disks_are_no_panics() {
    let bench = Playground::new();
    let mut train = bench.train("run", 2);
    train.retain(|argument| argument != "--json");
    let (code, _) = shell("\"$0\" \"$@\" 2>&1 | head -1 > /dev/null", &train);
    assert_eq!(code, 0);
    assert!(bench.path("run/result.json").is_file(), "the training was lost");
    let (code, message) = shell("\"$0\" \"$@\" 2> /dev/full", &bench.train("quiet", 1));
    assert_eq!(code, 0, "{message}");
    let commands = [
        "params",
        "params --json",
        "data info",
        "init-recipe",
        "--help",
        "train --help",
        "--version",
        "bench step --model hamiltonian --blocks 1 --batch-size 1 --repeats 1",
        "bench memory --model hamiltonian --blocks 1 --batch-size 1",
    ];
    for command in commands {
        let (code, message) = shell(&format!("\"$0\" {command} | true"), &[]);
        assert_eq!((code, message.as_str()), (0, ""), "{command}");
        if cfg!(target_os = "linux") {
            let (code, message) = shell(&format!("\"$0\" {command} > /dev/full"), &[]);
            assert_eq!(code, 2, "{command}: {message}");
            assert!(message.starts_with("palinode: ") && message.lines().count() == 1, "{message}");
            assert!(message.contains("No space left"), "{command}: {message}");
        }
    }
}
