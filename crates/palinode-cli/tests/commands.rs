//! What every sub-command prints.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Playground, failure, json, owned, palinode};

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
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
        "report.html",
        "weights/init.safetensors",
        "weights/best.safetensors",
        "weights/last.safetensors",
    ] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    let names = std::fs::read_dir(&run).unwrap().flatten().map(|entry| entry.file_name());
    let events = names.filter(|name| name.to_string_lossy().starts_with("events.out.tfevents."));
    assert_eq!(events.count(), 1, "one process, one event file");
    let header = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    assert!(header.starts_with(
        "epoch,split,loss,accuracy,learning_rate,seconds,images_per_second,peak_bytes,drift,\
         gradient_drift,rank_seconds,sent_bytes,overlapped\n"
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

    // Another run starts from these weights, all but the head, and says so.
    let tuned = [
        "--set",
        &format!("training.start={weights}"),
        "--set",
        "training.head=new",
        "--set",
        "training.freeze=[\"stem\"]",
    ];
    let text = palinode(&[bench.train("tuned", 1), owned(&tuned)].concat());
    let said = String::from_utf8_lossy(&text.stderr);
    assert!(text.status.success(), "{said}");
    assert!(said.contains("taken: stem.bias, stem.weight"), "{said}");
    assert!(said.contains("initialised: head.weight (training.head is new)"), "{said}");
    let array = |run: &str, which: &str, name: &str| {
        let file = bench.path(run).join(format!("weights/{which}.safetensors"));
        palinode::network::load_arrays(&file).unwrap().0[name].clone()
    };
    assert_eq!(array("run", "best", "stem.weight"), array("tuned", "last", "stem.weight"));
    assert_ne!(array("run", "best", "units.0.kernel"), array("tuned", "last", "units.0.kernel"));

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
fn plan_says_what_fits() {
    let plan = |memory: &str, model: &str| {
        let arguments = ["plan", "--model", model, "--batch-size", "64", "--size", "64x64"];
        json(&[&arguments[..], &["--memory", memory, "--json"]].concat())
    };
    // Every activation of a baseline, some of them, none, and no batch at all.
    let modes = |object: &serde_json::Value| object["batch"]["modes"].clone();
    let total = |object: &serde_json::Value| object["batch"]["peak_bytes"]["total"].as_u64();
    let ample = plan("8GiB", "resnet-32");
    assert_eq!(modes(&ample), serde_json::json!(["stored"; 3].to_vec()));
    let (most, least) = (total(&ample).unwrap(), ample["least_bytes"].as_u64().unwrap());
    let between = (most + least) / 2;
    let scarce = plan(&between.to_string(), "resnet-32");
    assert_eq!(modes(&scarce)[0], "checkpointed");
    assert!(total(&scarce).unwrap() <= between);
    let none = plan(&(least - 1).to_string(), "resnet-32");
    assert!(none["batch"].is_null() && none["largest_batch"]["batch_size"].as_u64() < Some(64));
    assert!(plan("1MB", "resnet-32")["largest_batch"].is_null());
    // A reversible network needs no choice: the mode of the least memory is the quickest, too.
    let reversible = plan("8GiB", "hamiltonian-74");
    assert_eq!(modes(&reversible), serde_json::json!(["reversible"; 3].to_vec()));
    let largest = &reversible["largest_batch"];
    let bytes = largest["peak_bytes"]["total"].as_u64().unwrap();
    assert!(bytes <= 8 << 30 && bytes > 7 << 30, "{largest}");
    // What people read.
    let arguments = ["plan", "--model", "resnet-32", "--batch-size", "64", "--size", "64x64"];
    let output = palinode(&[&arguments[..], &["--memory", &between.to_string()]].concat());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("training.mode = [\"checkpointed\", "), "{printed}");
}

#[test]
fn units_differ_in_mode_and_train_alike() {
    let bench = Playground::new();
    let loss = |name: &str, modes: &str| {
        let mode = format!("training.mode={modes}");
        let more = owned(&["--set", &mode, "--set", "training.state=exact"]);
        let outcome = json(&[bench.train(name, 1), more].concat());
        let config = std::fs::read_to_string(bench.path(name).join("config.toml")).unwrap();
        let close = |text: &str| text.replace([' ', '\n'], "").replace(",]", "]");
        assert!(close(&config).contains(&close(&format!("mode = {modes}"))), "{config}");
        outcome["test_loss"].as_f64().unwrap()
    };
    let same = loss("same", "\"stored\"");
    let mixed = loss("mixed", "[\"checkpointed\", \"stored\", \"reversible\"]");
    assert!((same - mixed).abs() < 1e-3 * same, "{same} and {mixed}");
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
