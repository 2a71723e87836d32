//! What does not fit is refused before it is tried, and what files announce is not believed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Playground, json};

/// Runs the program under a limit of its address space; exit code and stderr.
fn under(limit_kilobytes: u64, arguments: &[String]) -> (Option<i32>, String) {
    let output = Command::new("bash")
        .args(["-c", &format!("ulimit -v {limit_kilobytes}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_palinode"))
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn with(mut arguments: Vec<String>, more: &[&str]) -> Vec<String> {
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    arguments
}

/// Case 30: a network, pictures and batches that are larger than the memory.
#[test]
fn what_does_not_fit_is_refused_with_the_estimate_and_the_limit() {
    const LIMIT: u64 = 4_000_000;
    let bench = Playground::new();
    // A billion parameters.
    let huge =
        ["--set", "model.blocks=[1100, 1100, 1100]", "--set", "model.widths=[256, 256, 256]"];
    let mut train = bench.train("run", 1);
    train.retain(|argument| {
        !argument.starts_with("model.blocks") && !argument.starts_with("model.widths")
    });
    let set = train.iter().position(|argument| argument == "--set").unwrap();
    train.drain(set..set + 2);

    let pictures = bench.path("pictures");
    for class in ["cat", "dog"] {
        let folder = pictures.join("train").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..60_u8 {
            let picture = image::GrayImage::from_pixel(4, 4, image::Luma([number]));
            picture.save(folder.join(format!("{number}.png"))).unwrap();
        }
    }
    let (pictures, out) = (pictures.display().to_string(), bench.path("run").display().to_string());
    let of_pictures: Vec<String> =
        ["train", "--model", "hamiltonian-74", "--data", "folder", "--data-dir"]
            .iter()
            .chain(&[&*pictures, "--out", &*out, "--set", "training.test=false", "--quiet"])
            .map(|&argument| argument.to_owned())
            .collect();
    let step = |more: &[&str]| {
        let bench = ["bench", "step", "--model", "hamiltonian-74"].map(str::to_owned).to_vec();
        with(bench, more)
    };
    let cases = [
        (with(train, &huge), "weights"),
        (with(of_pictures.clone(), &["--set", "data.memory=6000"]), "kept pictures"),
        (with(of_pictures.clone(), &["--set", "data.folder.size=[4096, 4096]"]), "images"),
        (
            with(of_pictures, &["--set", "data.folder.size=[1024, 1024]", "--mode", "stored"]),
            "activations",
        ),
        (step(&["--batch-size", "65536"]), "activations"),
    ];
    for (arguments, part) in cases {
        let began = Instant::now();
        let (code, message) = under(LIMIT, &arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {message}");
        let words = ["palinode: needs ", part, "of memory, but only", "is available"];
        for word in words {
            assert!(message.contains(word), "no `{word}` in {message}");
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}: {message}", began.elapsed());
    }
    assert!(!bench.path("run").exists(), "a refused run leaves something behind");
}

/// Case 31: files that unpack to far more than they are.
#[test]
fn bombs_need_no_more_than_their_headers_allow() {
    let bench = Playground::new();
    json(&bench.train("run", 1));
    let weights = bench.path("run/weights/best.safetensors").display().to_string();
    let pictures =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../palinode-train/tests/pictures");
    let bomb = pictures.join("bomb.png").display().to_string();
    // Its 16,384 × 16,384 grey pixels are 268 MB. What the program needs without it is below 100 MB.
    let predict = ["predict", "--weights", &weights, &bomb, "--threads", "1"].map(str::to_owned);
    let (code, message) = under(268_436 + 256_000 + 100_000, &predict);
    assert_eq!(code, Some(0), "{message}");

    // A gzip file of 3 MB that unpacks to three gigabytes; its header announces 60 images.
    let data = bench.path("gzip");
    std::fs::create_dir(&data).unwrap();
    let script = "import gzip, struct, sys\n\
                  with gzip.open(sys.argv[1], 'wb') as f:\n \
                  f.write(struct.pack('>IIII', 2051, 60, 28, 28))\n \
                  for _ in range(3000): f.write(bytes(1 << 20))\n";
    let images = data.join("t10k-images-idx3-ubyte.gz");
    let packed = Command::new("python3").args(["-c", script]).arg(&images).status();
    if !packed.is_ok_and(|status| status.success()) {
        println!("skipped: no Python here");
        return;
    }
    std::fs::copy(bench.data().join("t10k-labels-idx1-ubyte"), data.join("t10k-labels-idx1-ubyte"))
        .unwrap();
    let info = ["data", "info", "fashion-mnist", "--data-dir", &data.display().to_string()]
        .map(str::to_owned);
    let (code, message) = under(256_000, &info);
    assert!(code == Some(2) && message.contains("more bytes follow it"), "{message}");
}

/// Case 35: files have the permissions that the umask leaves.
#[test]
fn files_respect_the_umask() {
    let bench = Playground::new();
    for (mask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        let out = format!("run{mask}");
        let output = Command::new("bash")
            .args(["-c", &format!("umask {mask}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_palinode"))
            .args(bench.train(&out, 1))
            .output()
            .unwrap();
        assert!(output.status.success());
        for file in [
            "config.toml",
            "metrics.csv",
            "weights/best.safetensors",
            "report.html",
            "palinode.lock",
        ] {
            let found =
                std::fs::metadata(bench.path(&out).join(file)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{file} under umask {mask}");
        }
    }
}
