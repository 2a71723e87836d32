//! Signals at random moments and disks that fill up: nothing is lost, and the bits are those of an undisturbed run.
//!
//! CI runs a short form. `PALINODE_STORM=long` (`just storm`) is the long one: 200 SIGKILLs, 100 SIGTERMs, 50 full
//! disks. The moments are drawn with `PALINODE_TEST_SEED`.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Moments, Playground, palinode, signal, spawn};

/// How often: in the short form, in the long one.
fn times(short: usize, long: usize) -> usize {
    match std::env::var("PALINODE_STORM").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// A job that can be begun, gone on with, and compared.
struct Job {
    bench: Playground,
    /// Whether it is an experiment of two runs or one run.
    experiment: bool,
    length: Duration,
    expected: Vec<Vec<u8>>,
}

impl Job {
    /// The job, done once without disturbance.
    fn new(experiment: bool) -> Self {
        let bench = Playground::new();
        let data = bench.data().display().to_string();
        let recipe = "recipe_version = 1\n[model]\nname = \"hamiltonian\"\nblocks = [1, 1, 1]\n\
                      widths = [4, 4, 4]\n[training]\nepochs = 3\nbatch_size = 10\naverage = 0.9\n";
        std::fs::write(bench.path("base.toml"), recipe).unwrap();
        let plan = format!(
            "experiment_version = 1\ntitle = \"storm\"\nrecipe = \"base.toml\"\n\
             set = [\"data.name=fashion-mnist\", \"data.dir={data}\"]\n[[row]]\nname = \"one\"\n\
             [[row]]\nname = \"two\"\nset = [\"model.name=leapfrog\", \"model.blocks=[1,1,1]\", \
             \"model.widths=[4,4,4]\"]\n"
        );
        std::fs::write(bench.path("e.toml"), plan).unwrap();
        let job = Self { bench, experiment, length: Duration::ZERO, expected: Vec::new() };
        let began = Instant::now();
        let whole = job.bench.path("whole");
        job.finish(&whole);
        Self { length: began.elapsed(), expected: job.weights(&whole), ..job }
    }

    /// The command that begins the job in `out`, or goes on with what is there.
    fn arguments(&self, out: &Path) -> Vec<String> {
        let text = out.display().to_string();
        if self.experiment {
            let plan = self.bench.path("e.toml").display().to_string();
            return ["experiment", &plan, "--out", &text, "--quiet"].map(str::to_owned).to_vec();
        }
        if out.join("checkpoints/latest.safetensors").is_file()
            || out.join("checkpoints/previous.safetensors").is_file()
        {
            return ["train", "--resume", &text, "--quiet"].map(str::to_owned).to_vec();
        }
        let recipe = self.bench.path("base.toml").display().to_string();
        let data = self.bench.data().display().to_string();
        let begin = ["train", "--recipe", &recipe, "--data", "fashion-mnist", "--data-dir", &data];
        begin.iter().chain(&["--out", &text, "--quiet"]).map(|&word| word.to_owned()).collect()
    }

    /// Does the rest of the job.
    fn finish(&self, out: &Path) {
        let output = palinode(&self.arguments(out));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{message}");
    }

    /// The weight files of the job's runs.
    fn weights(&self, out: &Path) -> Vec<Vec<u8>> {
        let runs: Vec<PathBuf> = match self.experiment {
            true => ["one", "two"].map(|row| out.join(format!("runs/{row}-seed0"))).to_vec(),
            false => vec![out.to_owned()],
        };
        let files = ["init", "best", "last"].map(|which| format!("weights/{which}.safetensors"));
        let of = |run: &PathBuf| files.clone().map(|file| std::fs::read(run.join(file)).unwrap());
        runs.iter().flat_map(of).collect()
    }
}

/// Disturbs jobs `count` times with a signal; returns how often it met a job under way.
fn storm(name: &str, count: usize, code: Option<i32>) -> usize {
    let jobs = [Job::new(false), Job::new(true)];
    let mut moments = Moments::seeded();
    let mut landed = 0;
    let mut disturbed = 0;
    let mut trial = 0;
    while disturbed < count {
        let job = &jobs[trial % 2];
        let out = job.bench.path(&format!("{name}{trial}"));
        trial += 1;
        // One disturbance, and sometimes another one while the job goes on.
        for _ in 0..1 + usize::from(moments.share() < 0.4) {
            let mut child = spawn(&job.arguments(&out));
            std::thread::sleep(moments.within(job.length));
            let alive = child.try_wait().unwrap().is_none();
            if alive {
                signal(&child, name);
            }
            let status = child.wait().unwrap();
            landed += usize::from(alive);
            disturbed += 1;
            // A job may also end by itself, just before the signal comes.
            // In its first milliseconds, the program has not taken SIGTERM over.
            let untaken = status.signal().is_some_and(|number| code == Some(128 + number));
            let fits = status.success() || !alive || status.code() == code || untaken;
            assert!(fits, "{name}: {status:?}");
        }
        job.finish(&out);
        assert!(job.weights(&out) == job.expected, "{name}, trial {trial}: other bits");
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{disturbed} times SIG{name}, {landed} of them while the job was under way");
    landed
}

#[test]
fn kills_lose_nothing() {
    let count = times(8, 200);
    assert!(storm("KILL", count, None) >= count / 4);
}

#[test]
fn terminations_lose_nothing() {
    let count = times(4, 100);
    assert!(storm("TERM", count, Some(143)) >= count / 4);
}

/// A file system of its own, which is removed at the end.
struct Disk(PathBuf);

impl Disk {
    /// One of so many bytes; `None` where this user may not mount any.
    fn new(path: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(path))
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn full_disks_lose_nothing() {
    let jobs = [Job::new(false), Job::new(true)];
    let mut moments = Moments::seeded();
    let (count, mut full, mut trial) = (times(3, 50), 0, 0);
    while full < count {
        let job = &jobs[trial % 2];
        // Less than what a job needs in the end, most of the time.
        let size = 4096 + (moments.share() * 300e3) as u64;
        let Some(disk) = Disk::new(job.bench.path(&format!("disk{trial}")), size) else {
            println!("skipped: no file system can be mounted here");
            return;
        };
        let out = disk.0.join("out");
        let output = palinode(&job.arguments(&out));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(message.contains("No space left") && message.lines().count() == 1, "{message}");
        }
        full += usize::from(!output.status.success());
        trial += 1;
        disk.grow();
        job.finish(&out);
        assert!(job.weights(&out) == job.expected, "trial {trial}: other bits");
    }
    println!("{full} of {trial} disks were full");
}
