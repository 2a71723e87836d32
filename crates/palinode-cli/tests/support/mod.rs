//! Running the program on a small data set of its own.
#![allow(dead_code, clippy::unwrap_used)] // every test binary uses a part of this

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with a Fashion-MNIST of 100 training and 20 test images, and room for runs.
pub struct Playground {
    folder: TempDir,
}

impl Playground {
    pub fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let data = bench.data();
        std::fs::create_dir(&data).unwrap();
        write_idx(&data, "train", 100);
        write_idx(&data, "t10k", 20);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Arguments of a training run of `epochs` epochs of nine steps.
    pub fn train(&self, out: &str, epochs: usize) -> Vec<String> {
        let out = self.path(out).display().to_string();
        let data = self.data().display().to_string();
        let epochs = epochs.to_string();
        [
            "train",
            "--model",
            "hamiltonian",
            "--data",
            "fashion-mnist",
            "--data-dir",
            &data,
            "--epochs",
            &epochs,
            "--batch-size",
            "10",
            "--out",
            &out,
            "--json",
            "--set",
            "model.blocks=[1, 1, 1]",
            "--set",
            "model.widths=[4, 4, 4]",
            "--set",
            "model.stem.norm=true",
            "--set",
            "optimizer.clip_norm=5.0",
            // A rate that changes with every step.
            "--set",
            "schedule.kind=one-cycle",
            "--set",
            "schedule.warm_up=0.3",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// A part of a data set: class c has a bright bar at height 2c, and noise.
fn write_idx(folder: &Path, part: &str, count: usize) {
    let mut images = vec![0, 0, 8, 3];
    for extent in [count as u32, 28, 28] {
        images.extend(extent.to_be_bytes());
    }
    let mut labels = vec![0, 0, 8, 1];
    labels.extend((count as u32).to_be_bytes());
    let mut noise = 12345_u32 + count as u32;
    for image in 0..count {
        let class = image % 10;
        labels.push(class as u8);
        for pixel in 0..28 * 28 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bar = if pixel / 28 / 2 == class { 150 } else { 0 };
            images.push(bar + (noise >> 25) as u8 / 2);
        }
    }
    std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
    std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
}

impl Playground {
    /// Starts the program with the playground as its working directory.
    pub fn spawn_inside(&self, arguments: &[String]) -> Child {
        spawn_in(self.folder.path(), arguments)
    }
}

/// Starts the program in a working directory.
pub fn spawn_in(directory: &Path, arguments: &[String]) -> Child {
    let mut command = command(arguments);
    command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Runs the program with arguments that need not be text.
pub fn run_os(arguments: &[std::ffi::OsString]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_palinode")).args(arguments).output().unwrap()
}

/// Waits until there is a file.
pub fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.is_file() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a signal to a process.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// A run of `epochs` epochs that was stopped by Ctrl-C in its first one.
pub fn interrupted(bench: &Playground, out: &str, epochs: usize) -> PathBuf {
    let run = bench.path(out);
    let mut child = spawn(&bench.train(out, epochs));
    wait_for(&run.join("checkpoints/latest.safetensors"));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    run
}

/// Arguments as a list that others can be added to.
pub fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

fn command<S: AsRef<str>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palinode"));
    command.args(arguments.iter().map(AsRef::as_ref));
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn palinode<S: AsRef<str>>(arguments: &[S]) -> Output {
    command(arguments).output().unwrap()
}

/// Starts the program and leaves it running.
pub fn spawn<S: AsRef<str>>(arguments: &[S]) -> Child {
    command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The one JSON object that a successful call printed.
pub fn json<S: AsRef<str>>(arguments: &[S]) -> serde_json::Value {
    let output = palinode(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one line on stdout: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Exit code and stderr of a call that must fail.
pub fn failure<S: AsRef<str>>(arguments: &[S]) -> (i32, String) {
    let output = palinode(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), error)
}

/// Random moments. The seed is printed; `PALINODE_TEST_SEED` sets another one.
pub struct Moments(u64);

impl Moments {
    pub fn seeded() -> Self {
        let seed = match std::env::var("PALINODE_TEST_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => 1,
        };
        println!("PALINODE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A moment within a duration.
    pub fn within(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(self.share())
    }

    /// A random number in 0…1 (splitmix64).
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
