//! Ranks that `mpirun` starts: the same bits as one process, whatever becomes of the ranks. Needs an MPI launcher.
//!
//! CI kills a few ranks. `PALINODE_STORM=long` (`just storm`) kills 30, at moments that are drawn with
//! `PALINODE_TEST_SEED`.
#![cfg(all(target_os = "linux", feature = "mpi"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Moments, Playground, palinode};

/// `mpirun` with so many ranks of each of some commands.
fn mpirun(commands: &[(usize, &[String])]) -> Command {
    let mut command = Command::new("mpirun");
    command.envs([
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
    ]);
    for (number, (ranks, arguments)) in commands.iter().enumerate() {
        if number > 0 {
            command.arg(":");
        }
        command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_palinode"), "--threads", "1"]);
        command.args(*arguments);
    }
    command
}

fn on_ranks(ranks: usize, arguments: &[String]) -> Output {
    mpirun(&[(ranks, arguments)]).output().unwrap()
}

fn success(output: Output) -> Output {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    output
}

/// A run's arguments, with norms and dropout.
fn train(bench: &Playground, out: &str, epochs: usize) -> Vec<String> {
    let mut arguments = bench.train(out, epochs);
    arguments.extend(["--set", "model.dropout=0.2", "--quiet"].map(str::to_owned));
    arguments
}

fn resume(out: &Path) -> Vec<String> {
    ["train", "--resume", &out.display().to_string(), "--quiet"].map(str::to_owned).to_vec()
}

/// The weights of a run.
fn weights(run: &Path) -> [Vec<u8>; 2] {
    ["best", "last"]
        .map(|which| std::fs::read(run.join(format!("weights/{which}.safetensors"))).unwrap())
}

/// What the program says itself, without the words of the launcher.
fn own_lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().filter(|line| line.starts_with("palinode: ")).map(str::to_owned).collect()
}

#[test]
fn any_number_of_ranks_gives_the_bits_of_one_process() {
    let bench = Playground::new();
    success(palinode(&train(&bench, "alone", 2)));
    let expected = weights(&bench.path("alone"));
    for ranks in [1, 2, 4, 8] {
        let out = ranks.to_string();
        let output = success(on_ranks(ranks, &train(&bench, &out, 2)));
        assert!(weights(&bench.path(&out)) == expected, "{ranks} ranks");
        let lines = String::from_utf8_lossy(&output.stdout).lines().count();
        assert_eq!(lines, 1, "one result of {ranks} ranks");
        assert_eq!(own_lines(&output).len(), 0, "{:?}", own_lines(&output));
        let metrics = std::fs::read_to_string(bench.path(&out).join("metrics.csv")).unwrap();
        let row = metrics.lines().nth(1).unwrap();
        let cells: Vec<&str> = row.split(',').rev().take(3).collect();
        let sent = cells[1].parse::<u64>().ok();
        assert_eq!(sent.is_some_and(|sent| sent > 0), ranks > 1, "{row}");
        assert_eq!(cells[2].split(' ').count(), ranks, "the times of all ranks: {row}");
    }
}

#[test]
fn mistakes_are_said_once_and_end_the_job() {
    let bench = Playground::new();
    let message = |output: Output, expected: &str| {
        assert!(!output.status.success());
        let lines = own_lines(&output);
        assert!(lines.len() == 1 && lines[0].contains(expected), "{lines:?}, not {expected}");
    };
    message(on_ranks(3, &train(&bench, "three", 1)), "ranks: 3; their number must be");
    let mut few = train(&bench, "few", 1);
    few.extend(["--set", "training.microbatches=2"].map(str::to_owned));
    message(on_ranks(4, &few), "training.microbatches: 2, so 4 ranks cannot share a batch");
    success(on_ranks(2, &train(&bench, "run", 1)));
    message(on_ranks(2, &train(&bench, "run", 1)), "is not empty");
    let data = bench.data().display().to_string();
    let nowhere = replaced(&train(&bench, "nowhere", 1), &data, "/nowhere");
    message(on_ranks(2, &nowhere), "/nowhere");

    // One rank alone has another recipe, other images or another instruction set.
    let own = train(&bench, "other", 1);
    let other = |other: &[String]| mpirun(&[(1, &own), (1, other)]).output().unwrap();
    message(other(&replaced(&own, "10", "20")), "training.batch_size is 20, and 10 on the first");
    let portable = [&own[..], &["--isa", "portable"].map(str::to_owned)].concat();
    message(other(&portable), "rank 1 on ");
    let elsewhere = Playground::new();
    let images = elsewhere.data().join("train-images-idx3-ubyte");
    let mut bytes = std::fs::read(&images).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&images, bytes).unwrap();
    let there = elsewhere.data().display().to_string();
    message(other(&replaced(&own, &data, &there)), "the checksum of the training images is");
}

#[cfg(feature = "wgpu")]
#[test]
fn several_ranks_are_refused_on_a_device() {
    let Ok(device) = std::env::var("PALINODE_DEVICE") else { return };
    let bench = Playground::new();
    let mut arguments = train(&bench, "run", 1);
    arguments.extend(["--device".to_owned(), device]);
    let output = on_ranks(2, &arguments);
    assert!(!output.status.success());
    let lines = own_lines(&output);
    let refused = lines.iter().filter(|line| line.contains("several ranks train on the CPU"));
    assert_eq!(refused.count(), 1, "{lines:?}");
}

/// Arguments with another one in the place of one.
fn replaced(arguments: &[String], one: &str, other: &str) -> Vec<String> {
    let change = |argument: &String| match argument == one {
        true => other.to_owned(),
        false => argument.clone(),
    };
    arguments.iter().map(change).collect()
}

#[test]
fn killed_ranks_end_the_job_and_the_run_goes_on_with_any_number() {
    let (bench, mut moments) = (Playground::new(), Moments::seeded());
    success(palinode(&train(&bench, "whole", 6)));
    let expected = weights(&bench.path("whole"));
    let times = match std::env::var("PALINODE_STORM").as_deref() {
        Ok("long") => 30,
        _ => 4,
    };
    let (mut killed, mut number) = (0, 0);
    while killed < times {
        number += 1;
        let out = format!("run-{number}");
        let path = bench.path(&out);
        let ranks = [2, 4][number % 2];
        let victim = number / 2 % ranks;
        let mut command = mpirun(&[(ranks, &train(&bench, &out, 6))]);
        let job = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        support::wait_for(&path.join("checkpoints/latest.safetensors"));
        std::thread::sleep(moments.within(Duration::from_millis(600)));
        if !signal_rank(&job, victim, "KILL") {
            // The job was quicker.
            success(job.wait_with_output().unwrap());
            continue;
        }
        killed += 1;
        let since = Instant::now();
        let output = job.wait_with_output().unwrap();
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let named = format!("process rank {victim} with PID");
        assert!(!output.status.success() && text.contains(&named), "{text}");
        let named = text.lines().filter(|line| line.contains("process rank")).count();
        assert_eq!(named, 1, "{text}");
        assert!(text.contains(&format!("on node {}", host())), "{text}");
        let then = [1, 2, 4, 8][number % 4];
        success(on_ranks(then, &resume(&path)));
        assert!(weights(&path) == expected, "{ranks} ranks, {victim} killed, then {then}");
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().split('.').next().unwrap().to_owned()
}

/// Sends a signal to one rank of a job; false if it is not there any more.
fn signal_rank(job: &Child, rank: usize, signal: &str) -> bool {
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let is_rank = |process: &PathBuf| {
        let parent = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        let parent = parent.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        parent == Some(job.id().to_string().as_str())
            && environment.split(|byte| *byte == 0).any(|own| own == wanted.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let Some(found) = processes.into_iter().find(is_rank) else { return false };
    let pid = found.file_name().unwrap().to_str().unwrap().to_owned();
    Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success()
}

#[test]
fn a_run_that_is_asked_to_stop_saves_and_goes_on() {
    let bench = Playground::new();
    success(palinode(&train(&bench, "whole", 20)));
    let expected = weights(&bench.path("whole"));
    for asked in [0, 1] {
        let (out, run) = (asked.to_string(), bench.path(&asked.to_string()));
        let mut command = mpirun(&[(2, &train(&bench, &out, 20))]);
        let job = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        support::wait_for(&run.join("metrics.csv"));
        // One rank is asked, and all stop.
        assert!(signal_rank(&job, asked, "TERM"));
        let output = job.wait_with_output().unwrap();
        assert!(!output.status.success() && !run.join("result.json").exists());
        let lines = own_lines(&output);
        assert!(lines.len() == 1 && lines[0].contains("interrupted; continue"), "{lines:?}");
        success(on_ranks(4, &resume(&run)));
        assert!(weights(&run) == expected, "rank {asked} was asked to stop");
    }
}

#[test]
fn the_runs_of_an_experiment_are_dealt_to_ranks() {
    let bench = Playground::new();
    let recipe = "recipe_version = 1\n[model]\nname = \"hamiltonian\"\nblocks = [1, 1, 1]\n\
                  widths = [4, 4, 4]\n[training]\nepochs = 4\nbatch_size = 10\n";
    std::fs::write(bench.path("base.toml"), recipe).unwrap();
    let data = bench.data().display().to_string();
    let plan = format!(
        "experiment_version = 1\ntitle = \"dealt\"\nrecipe = \"base.toml\"\nseeds = [0, 1, 2]\n\
         set = [\"data.name=fashion-mnist\", \"data.dir={data}\"]\n[[row]]\nname = \"one\"\n\
         [[row]]\nname = \"two\"\nset = [\"model.name=leapfrog\", \"model.blocks=[1,1,1]\", \
         \"model.widths=[4,4,4]\"]\n"
    );
    std::fs::write(bench.path("e.toml"), plan).unwrap();
    let experiment = |out: &str| {
        let [plan, out] = ["e.toml", out].map(|name| bench.path(name).display().to_string());
        ["experiment", &plan, "--out", &out, "--quiet", "--json"].map(str::to_owned)
    };
    let runs = |out: &str| {
        let runs = std::fs::read_dir(bench.path(out).join("runs")).unwrap().flatten();
        let mut runs: Vec<_> = runs.map(|run| (run.file_name(), weights(&run.path()))).collect();
        runs.sort();
        runs
    };
    success(palinode(&experiment("alone")));
    let expected = runs("alone");
    assert_eq!(expected.len(), 6);
    for ranks in [2, 4] {
        let out = ranks.to_string();
        let output = success(on_ranks(ranks, &experiment(&out)));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
        assert!(runs(&out) == expected, "{ranks} ranks");
        let table = std::fs::read_to_string(bench.path(&out).join("table.csv")).unwrap();
        assert_eq!(table.lines().count(), 3, "{table}");
        let holders = std::fs::read_dir(bench.path(&out).join("runs")).unwrap().flatten();
        let mut holders: Vec<String> = holders
            .map(|run| std::fs::read_to_string(run.path().join("palinode.lock")).unwrap())
            .collect();
        holders.sort();
        holders.dedup();
        assert!(holders.len() > 1, "one rank has done it all: {holders:?}");
        assert!(!bench.path(&out).join("claims").exists());
    }
    // Killed, and begun again with another number of ranks.
    let job =
        mpirun(&[(2, &experiment("killed"))]).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
    let job = job.unwrap();
    let begun = || std::fs::read_dir(bench.path("killed/runs")).is_ok_and(|runs| runs.count() > 2);
    while !begun() {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(signal_rank(&job, 1, "KILL"));
    assert!(!job.wait_with_output().unwrap().status.success());
    success(on_ranks(4, &experiment("killed")));
    assert!(runs("killed") == expected);
}
