//! How the program refuses: a clear line, the right exit code, nothing lost.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Playground, failure, json, owned};

/// One line, the right exit code, and words that name the trouble.
#[test]
fn mistakes_are_one_clear_line() {
    let bench = Playground::new();
    let path = |name: &str| bench.path(name).display().to_string();
    std::fs::write(bench.path("bad.toml"), "seed = 1\n[model]\nwidth = 3\n").unwrap();
    std::fs::write(bench.path("junk"), b"junk").unwrap();
    std::fs::create_dir(bench.path("full")).unwrap();
    std::fs::write(bench.path("full/x"), b"x").unwrap();
    let broken = |name: &str, change: &dyn Fn(&mut Vec<u8>), file: &str| {
        let folder = bench.path(name);
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(bench.data()).unwrap() {
            let entry = entry.unwrap().path();
            let mut bytes = std::fs::read(&entry).unwrap();
            if entry.ends_with(file) {
                change(&mut bytes);
            }
            std::fs::write(folder.join(entry.file_name().unwrap()), bytes).unwrap();
        }
        folder.display().to_string()
    };
    let images = "train-images-idx3-ubyte";
    let labels = "train-labels-idx1-ubyte";
    let truncated = broken("truncated", &|b| b.truncate(1000), images);
    let magic = broken("magic", &|b| b[2] = 9, images);
    let label = broken("label", &|b| b[8 + 17] = 10, labels);
    let empty = path("nowhere");
    std::fs::write(bench.path("empty.toml"), "").unwrap();
    let on_cifar = |dir: &str| owned(&["data", "info", "cifar-10", "--data-dir", dir]);
    let on = |dir: &str| {
        let mut arguments = bench.train("unused", 1);
        let place = arguments.iter().position(|a| a == "--data-dir").unwrap() + 1;
        arguments[place] = dir.to_owned();
        arguments
    };
    let with = |more: &[&str]| [bench.train("unused", 1), owned(more)].concat();
    let out = |dir: &str| {
        let mut arguments = bench.train("unused", 1);
        let place = arguments.iter().position(|a| a == "--out").unwrap() + 1;
        arguments[place] = dir.to_owned();
        arguments
    };
    let cases: Vec<(Vec<String>, &[&str])> = vec![
        (on(&truncated), &["train-images-idx3-ubyte", "984 bytes follow"]),
        (on(&magic), &["train-images-idx3-ubyte", "magic number at offset 0"]),
        (on(&label), &["train-labels-idx1-ubyte", "image 17 has label 10"]),
        (on(&empty), &["nowhere", "no such file"]),
        (out(&path("full")), &["full", "not empty"]),
        (out(&path("junk/run")), &["junk", "Not a directory"]),
        (with(&["--set", "model.width=3"]), &["unknown field `width`"]),
        (with(&["--set", "model.widths=[3, 4, 5]"]), &["model.widths", "halves"]),
        (with(&["--set", "nonsense"]), &["nonsense", "FIELD=VALUE"]),
        (with(&["--set", "optimizer.name=adam"]), &["optimizer.name", "unknown variant `adam`"]),
        (
            with(&["--set", "training.freeze=[\"x\"]"]),
            &["training.freeze", "`x` matches no", "stem"],
        ),
        (with(&["--set", "training.head=new"]), &["training.head", "training.start"]),
        (with(&["--set", "training.start=no.safetensors"]), &["no.safetensors", "No such file"]),
        (with(&["--set", "training.accumulate=0"]), &["training.accumulate", "positive"]),
        (with(&["--model", "resnet-9000"]), &["cannot be used multiple times"]),
        (owned(&["train", "--model", "x", "--out", &path("n")]), &["no model `x`"]),
        (owned(&["train", "--recipe", &path("bad.toml")]), &["bad.toml", "line 3", "`width`"]),
        (owned(&["train", "--recipe", &path("no.toml")]), &["no.toml", "No such file"]),
        (owned(&["train", "--resume", &path("full")]), &["full", "holds no run"]),
        (owned(&["train", "--data", "mnist"]), &["data.name", "mnist"]),
        (owned(&["train", "--data", "cifar-10"]), &["data.dir", "cifar-10"]),
        (owned(&["eval", "--weights", &path("junk")]), &["junk", "not a safetensors file"]),
        (owned(&["predict", "--weights", &path("no.w"), "a.png"]), &["no.w", "No such file"]),
        (owned(&["params", "--model", "hamiltonian-75"]), &["hamiltonian-75"]),
        (owned(&["params", "--model", "midpoint", "--blocks", "1,2"]), &["--blocks"]),
        (owned(&["plan", "--memory", "8Q"]), &["--memory", "8GiB"]),
        (owned(&["plan", "--size", "512"]), &["--size", "512x512"]),
        (owned(&["plan", "--size", "1x1"]), &["1×1 images"]),
        (with(&["--set", "training.mode=stord"]), &["training.mode", "stored"]),
        (with(&["--set", "training.mode=[\"stored\"]"]), &["training.mode", "a list of 1"]),
        (owned(&["--threads", "0", "params", "--model", "midpoint"]), &["--threads"]),
        (
            with(&["--set", "augmentation.crop_padding=1000"]),
            &["crop_padding: 1000 pixels", "32×32"],
        ),
        (with(&["--set", "augmentation.cutout=100"]), &["augmentation.cutout: 100 pixels"]),
        (with(&["--set", "optimizer.learning_rate=inf"]), &["learning_rate: inf is not a finite"]),
        (with(&["--set", "training.epochs=many"]), &["training.epochs", "a whole number"]),
        (with(&["--set", "optimizer=3"]), &["optimizer", "expected a table"]),
        (
            owned(&["train", "--recipe", &path("empty.toml")]),
            &["empty.toml", "`recipe_version = 1`"],
        ),
        (on_cifar(&empty), &["nowhere", "`palinode data fetch cifar-10`"]),
        (
            owned(&["predict", "--weights", &path("no.w"), "--top", "0", "a.png"]),
            &["--top", "1..=256"],
        ),
    ];
    for (arguments, words) in cases {
        let (code, message) = failure(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        for word in words {
            assert!(message.contains(word), "{arguments:?}: no `{word}` in: {message}");
        }
        assert!(message.starts_with("palinode: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert!(!bench.path("unused").exists(), "a refused run leaves nothing behind");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint() {
    let bench = Playground::new();
    let mut arguments = bench.train("run", 3);
    arguments.extend(owned(&[
        "--set",
        "optimizer.learning_rate=1e30",
        "--set",
        "optimizer.clip_norm=0.0",
    ]));
    let (code, message) = failure(&arguments);
    assert_eq!(code, 3, "{message}");
    let line = message.lines().last().unwrap();
    assert!(line.contains("the loss is not finite") && line.contains("step"), "{line}");
    let finite = |run: &str| {
        let checkpoint = bench.path(run).join("checkpoints/latest.safetensors");
        let (arrays, _) = palinode::network::load_arrays(&checkpoint).unwrap();
        assert!(arrays.values().all(|array| array.values.iter().all(|v| v.is_finite())));
    };
    finite("run");

    // One step per epoch: the loss of the step is fine, the weights after it are not.
    let mut arguments = bench.train("short", 3);
    let place = arguments.iter().position(|a| a == "--batch-size").unwrap();
    arguments[place + 1] = "1000".to_owned();
    arguments.extend(owned(&[
        "--set",
        "optimizer.learning_rate=1e38",
        "--set",
        "optimizer.clip_norm=0.0",
        "--set",
        "schedule.kind=constant",
    ]));
    let (code, message) = failure(&arguments);
    assert!(code == 3 && message.contains("not finite"), "{code}: {message}");
    finite("short");
    let again = failure(&["train", "--resume", &bench.path("short").display().to_string()]);
    assert_eq!(again.0, 3, "the checkpoint is still a good one: {}", again.1);
}

/// The report's own leak: the same images trained and tested on.
#[test]
fn a_test_part_that_was_trained_on_is_refused() {
    let bench = Playground::new();
    let data = bench.data();
    for what in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
        let [train, test] = ["train", "t10k"].map(|part| data.join(format!("{part}-{what}")));
        std::fs::copy(train, test).unwrap();
    }
    let (code, message) = failure(&bench.train("leak", 1));
    assert_eq!(code, 2);
    assert!(message.contains("100 of 100 test images are also among the training"), "{message}");
    assert!(!bench.path("leak").exists(), "a refused run leaves something behind");
}

#[test]
fn a_data_set_comes_from_a_mirror_or_says_why_not() {
    let bench = Playground::new();
    let into = bench.path("fetched").display().to_string();
    let (code, message) =
        failure(&["data", "fetch", "fashion-mnist-mini", "--data-dir", &into, "--quiet"]);
    assert!(code == 2 && message.contains("not downloaded from anywhere"), "{message}");
    // A server that has something else under the file's name.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mirror/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        let body = vec![b'x'; 26_421_880];
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        request
    });
    let (code, message) =
        failure(&["data", "fetch", "fashion-mnist", "--data-dir", &into, "--url", &url, "--quiet"]);
    assert!(code == 2 && message.contains("SHA-256"), "{code} {message}");
    assert!(server.join().unwrap().starts_with("GET /mirror/train-images-idx3-ubyte.gz "));
    assert!(!bench.path("fetched").exists(), "an empty directory looks like a data set");
}

/// Case 12: what the command line says wins over a file in which every choice is written out.
#[test]
fn flags_win_over_the_recipe_of_a_run() {
    let bench = Playground::new();
    let first = bench.path("first");
    let untrained = |more: &[&str], out: &str| {
        let (data, out_path) = (bench.data(), bench.path(out));
        let (data, out_path) = (data.display().to_string(), out_path.display().to_string());
        let begin =
            ["train", "--epochs", "0", "--json", "--data", "fashion-mnist", "--data-dir", &data];
        json(&[&begin[..], &["--out", &out_path], more].concat());
        std::fs::read_to_string(bench.path(out).join("config.toml")).unwrap()
    };
    untrained(&["--model", "hamiltonian-74"], "first");
    let recipe = first.join("config.toml").display().to_string();
    let config = untrained(&["--recipe", &recipe, "--isa", "portable"], "portable");
    assert!(config.contains("isa = \"portable\""), "{config}");
    let config = untrained(&["--recipe", &recipe, "--model", "resnet-32"], "resnet");
    assert!(config.contains("mode = \"stored\"") && config.contains("widths = [\n"), "{config}");
    let resnet = bench.path("resnet/config.toml").display().to_string();
    let config = untrained(&["--recipe", &resnet, "--model", "midpoint-26"], "midpoint");
    assert!(
        config.contains("mode = \"reversible\"") && config.contains("\"midpoint\""),
        "{config}"
    );
    let chosen = ["--recipe", &resnet, "--model", "midpoint-26", "--mode", "checkpointed"];
    assert!(untrained(&chosen, "chosen").contains("mode = \"checkpointed\""));
    let config = untrained(&["--recipe", &recipe, "--variant", "regularized"], "variant");
    assert!(config.contains("dropout = 0.4") && config.contains("norm = true"), "{config}");
    // A run that goes on keeps its instruction set.
    let run = first.display().to_string();
    let (code, message) = failure(&["train", "--resume", &run, "--isa", "portable"]);
    assert!(code == 2 && message.contains("--isa: the run began on "), "{message}");
}

#[test]
fn a_data_set_that_does_not_come_leaves_no_folder() {
    let bench = Playground::new();
    let folder = bench.path("new/data/cifar-10").display().to_string();
    let fetch = [
        "data",
        "fetch",
        "cifar-10",
        "--data-dir",
        &folder,
        "--quiet",
        "--url",
        "http://127.0.0.1:9/x",
    ];
    let (code, message) = failure(&fetch);
    assert!(code == 2 && message.contains("127.0.0.1:9"), "{message}");
    assert!(!bench.path("new").exists(), "empty folders are left behind");
}
