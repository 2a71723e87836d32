//! What every sub-command prints, and how it refuses.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Playground, failure, json, palinode};

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

#[test]
fn params_prints_the_contract() {
    let object = json(&["params", "--model", "hamiltonian-218", "--json"]);
    assert_eq!(object["total"], 1_751_882);
    for key in ["model", "layout", "variant", "classes", "total", "parts"] {
        assert!(keys(&object).contains(&key), "{key} is missing");
    }
    let parts = object["parts"].as_object().unwrap();
    let sum: u64 = parts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(sum, 1_751_882);
    let paper =
        ["params", "--model", "hamiltonian-74", "--layout", "paper", "--classes", "100", "--json"];
    assert_eq!(json(&paper)["total"], 439_860);
    for (variant, total) in [
        ("plain", 1_751_882),
        ("regularized", 1_751_946),
        ("inception", 458_682),
        ("inception-large", 1_812_458),
    ] {
        let arguments = ["params", "--model", "hamiltonian-218", "--variant", variant, "--json"];
        let object = json(&arguments);
        assert_eq!(object["total"], total, "{variant}");
        assert_eq!((&object["variant"], &object["layout"]), (&variant.into(), &"report".into()));
    }
    let baseline = json(&["params", "--model", "resnet-1202", "--json"]);
    assert_eq!((&baseline["total"], &baseline["layout"]), (&19_421_274.into(), &"paper".into()));
    let free = [
        "params",
        "--model",
        "leapfrog",
        "--blocks",
        "1,2,3",
        "--widths",
        "5,5,7",
        "--channels",
        "1",
        "--json",
    ];
    assert!(json(&free)["total"].as_u64().unwrap() > 0);
}

#[test]
fn a_run_from_training_to_prediction() {
    let bench = Playground::new();
    let outcome = json(&bench.train("run", 2));
    let expected = [
        "run",
        "epochs",
        "parameters",
        "validation_accuracy",
        "test_accuracy",
        "test_loss",
        "seconds",
        "images_per_second",
        "peak_bytes",
    ];
    assert_eq!(keys(&outcome), expected);
    assert!(outcome["peak_bytes"].as_u64().unwrap() > 1_000_000);
    let run = bench.path("run");
    for file in [
        "config.toml",
        "metrics.csv",
        "curves.svg",
        "events.out.tfevents.palinode",
        "report.html",
        "weights/init.safetensors",
        "weights/best.safetensors",
        "weights/last.safetensors",
    ] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    let header = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert!(header.starts_with(
        "epoch,split,loss,accuracy,learning_rate,seconds,images_per_second,peak_bytes\n"
    ));
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for part in ["<svg", "Confusion matrix", "mistakes", "Parameters by part", "recipe_version"] {
        assert!(page.contains(part), "the report lacks {part}");
    }
    for reference in ["src=\"", "href=\"", "url("] {
        let mut parts = page.split(reference);
        parts.next();
        assert!(
            parts.all(|target| target.starts_with("data:") || target.starts_with('#')),
            "the report needs another file: {reference}"
        );
    }

    let weights = run.join("weights/best.safetensors").display().to_string();
    let data = bench.data().display().to_string();
    let on_data = ["--weights", &weights, "--data", "fashion-mnist", "--data-dir", &data];
    let evaluate = [&["eval"][..], &on_data, &["--split", "test", "--json"]].concat();
    let evaluated = json(&evaluate);
    assert_eq!(keys(&evaluated), ["accuracy", "loss", "images"]);
    assert_eq!(evaluated["accuracy"], outcome["test_accuracy"]);
    assert_eq!(evaluated["loss"], outcome["test_loss"]);
    assert_eq!(evaluated["images"], 20);

    let logits = bench.path("y.npy").display().to_string();
    let predict =
        [&["predict"][..], &on_data, &["--split", "test", "--logits", &logits, "--json"]].concat();
    assert_eq!(json(&predict)["images"], 20);
    let file = std::fs::read(&logits).unwrap();
    let array = npyz::NpyFile::new(&file[..]).unwrap();
    assert_eq!(array.shape(), [20, 10]);
    let rows = array.into_vec::<f32>().unwrap();
    let right = rows
        .chunks(10)
        .enumerate()
        .filter(|(i, row)| (0..10).all(|c| row[c] <= row[i % 10]))
        .count();
    assert_eq!(right as f64 / 20.0, outcome["test_accuracy"].as_f64().unwrap());

    let picture = bench.path("picture.png");
    let grey = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * y % 256) as u8]));
    grey.save(&picture).unwrap();
    let picture = picture.display().to_string();
    let seen = json(&["predict", "--weights", &weights, &picture, "--json"]);
    let first = &seen["pictures"][0]["classes"][0];
    assert!(first["class"].is_string() && first["probability"].as_f64().unwrap() > 0.1);
    let text = palinode(&["predict", "--weights", &weights, &picture]);
    assert!(String::from_utf8_lossy(&text.stdout).contains(" %"));
}

#[test]
fn gradients_agree_between_modes_and_have_every_name() {
    let bench = Playground::new();
    let outcome = json(&bench.train("run", 0));
    assert_eq!(outcome["epochs"], 0);
    assert!(outcome["test_accuracy"].is_null() && outcome["seconds"].is_null());
    let weights = bench.path("run").join("weights/init.safetensors").display().to_string();
    let input = bench.path("x.npy").display().to_string();
    let labels = bench.path("l.npy").display().to_string();
    use npyz::WriterBuilder;
    let write = |path: &str, shape: &[u64], pixels: &[f32]| {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
        writer.extend(pixels).unwrap();
        writer.finish().unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let pixels: Vec<f32> = (0..3 * 1024).map(|i| ((i * 37 % 101) as f32 - 50.0) / 30.0).collect();
    write(&input, &[3, 1, 32, 32], &pixels);
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(&[3]);
    let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
    writer.extend([0_i64, 4, 9]).unwrap();
    writer.finish().unwrap();
    std::fs::write(&labels, bytes).unwrap();

    let mut found = Vec::new();
    for mode in ["stored", "checkpointed", "reversible"] {
        let out = bench.path(&format!("{mode}.safetensors"));
        let arguments = owned(&[
            "gradients",
            "--weights",
            &weights,
            "--input",
            &input,
            "--labels",
            &labels,
            "--mode",
            mode,
            "--out",
            &out.display().to_string(),
            "--json",
        ]);
        let loss = json(&arguments)["loss"].as_f64().unwrap();
        found.push((loss, palinode::network::load_arrays(&out).unwrap().0));
    }
    let (stored, arrays) = &found[0];
    assert_eq!(arrays["input"].shape, [3, 1, 32, 32]);
    for name in ["stem.weight", "stem_norm.bias", "units.2.kernel", "head.weight"] {
        assert!(arrays[name].values.iter().any(|v| *v != 0.0), "{name} has no gradient");
    }
    assert!(!arrays.contains_key("stem_norm.running_mean"));
    for (loss, other) in &found[1..] {
        assert!((loss - stored).abs() < 1e-6);
        for (name, array) in other {
            let scale = arrays[name].values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let error = array
                .values
                .iter()
                .zip(&arrays[name].values)
                .fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            if name == "stem.bias" {
                // Batch norm takes a constant away again: the truth is zero, what is there rounding.
                assert!(scale < 1e-6 && error < 1e-6, "stem.bias: {scale}, {error}");
                continue;
            }
            assert!(error <= 2e-5 * scale, "{name}: {error} of {scale}");
        }
    }
    let y = bench.path("y.npy").display().to_string();
    let predict = ["predict", "--weights", &weights, "--input", &input, "--logits", &y, "--json"];
    assert_eq!(json(&predict)["images"], 3);
}

#[test]
fn data_info_and_init_recipe() {
    let object = json(&["data", "info", "--json"]);
    assert_eq!((&object["train"], &object["test"]), (&6000.into(), &1000.into()));
    let bench = Playground::new();
    let recipe = bench.path("recipe.toml").display().to_string();
    json(&["init-recipe", &recipe, "--json"]);
    let (code, message) = failure(&["init-recipe", &recipe]);
    assert!(code == 2 && message.contains("exists already"), "{message}");
    let printed = palinode(&["init-recipe"]).stdout;
    assert_eq!(printed, std::fs::read(&recipe).unwrap());
    let data = bench.data().display().to_string();
    let out = bench.path("out").display().to_string();
    let mut arguments = owned(&["train", "--recipe", &recipe, "--epochs", "0", "--out", &out]);
    arguments.extend(owned(&["--data", "fashion-mnist", "--data-dir", &data]));
    assert!(palinode(&arguments).status.success());
    let config = std::fs::read_to_string(bench.path("out").join("config.toml")).unwrap();
    assert!(config.contains("blocks = [") && config.contains("residual = \"symmetric\""));
}

#[test]
fn bench_memory_measures_and_draws() {
    let bench = Playground::new();
    let (csv, svg) = (bench.path("m.csv"), bench.path("m.svg"));
    let object = json(&[
        "bench",
        "memory",
        "--model",
        "hamiltonian-74",
        "--blocks",
        "1,2",
        "--modes",
        "stored,reversible",
        "--batch-size",
        "2",
        "--csv",
        &csv.display().to_string(),
        "--svg",
        &svg.display().to_string(),
        "--json",
    ]);
    let rows = object["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[2]["layers"], 26);
    for key in ["total", "parameters", "gradients", "optimizer", "activations", "workspace"] {
        assert!(rows[0]["peak_bytes"][key].is_u64(), "{key} is missing");
    }
    assert!(std::fs::read_to_string(svg).unwrap().contains("<svg"));
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 5);
}

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
        (owned(&["--threads", "0", "params", "--model", "midpoint"]), &["--threads"]),
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
