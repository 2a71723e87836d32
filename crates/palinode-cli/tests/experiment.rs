//! Experiments and reports from the command line.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::SystemTime;
use support::{Playground, failure, json, palinode, spawn, wait_for};

const RECIPE: &str = "recipe_version = 1
[model]
name = \"hamiltonian\"
blocks = [1, 1, 1]
widths = [4, 4, 4]
[training]
epochs = 2
batch_size = 30
";

/// An experiment of two rows; the file's path.
fn experiment(bench: &Playground, rate: &str) -> String {
    std::fs::write(bench.path("base.toml"), RECIPE).unwrap();
    let data = bench.data().display().to_string();
    let text = format!(
        "experiment_version = 1\ntitle = \"two <rows>\"\nrecipe = \"base.toml\"\nseeds = [0, 1]\n\
         subsets = [0.5, 1.0]\nset = [\"data.name=fashion-mnist\", \"data.dir={data}\"]\n\
         [[row]]\nname = \"one\"\n[[row]]\nname = \"two\"\nseeds = [3]\nsubsets = [1.0]\n\
         set = [\"model.name=resnet-32\", \"model.blocks=[1,1,1]\", \"model.widths=[4,4,8]\", \
         \"optimizer.learning_rate={rate}\"]\n"
    );
    let path = bench.path("e.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn changed(path: &Path) -> SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn an_experiment_runs_once_and_writes_table_figures_and_pages() {
    let bench = Playground::new();
    let (file, out) = (experiment(&bench, "0.1"), bench.path("out"));
    let out_text = out.display().to_string();
    let arguments = ["experiment", &file, "--out", &out_text, "--json", "--quiet"];
    let first = json(&arguments);
    let rows = first["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "one, at half and at all images, and two: {first}");
    assert_eq!(rows[0]["seeds"], serde_json::json!([0, 1]));
    assert_eq!(rows[0]["test_accuracy"].as_array().unwrap().len(), 2);
    for name in [
        "table.md",
        "table.csv",
        "accuracy.svg",
        "loss.svg",
        "subsets.svg",
        "parameters.svg",
        "index.html",
    ] {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    let table = std::fs::read_to_string(out.join("table.md")).unwrap();
    assert!(table.contains("| one | 1-1-1 | 4-4-4 |") && table.contains("| two |"), "{table}");
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("two &#60;rows&#62;") && page.contains("runs/two-seed3/report.html"));

    // What is finished is not run again; what is missing is.
    let kept = changed(&out.join("runs/one-seed0/result.json"));
    std::fs::remove_dir_all(out.join("runs/two-seed3")).unwrap();
    std::fs::remove_file(out.join("runs/one-seed1/result.json")).unwrap();
    let again = json(&arguments);
    assert_eq!(kept, changed(&out.join("runs/one-seed0/result.json")));
    for row in 0..3 {
        assert_eq!(again["rows"][row]["test_accuracy"], first["rows"][row]["test_accuracy"]);
    }

    // One process at a time (case 15).
    std::fs::remove_dir_all(out.join("runs/two-seed3")).unwrap();
    let mut first = spawn(&[&arguments[..], &["--threads", "1"]].concat());
    wait_for(&out.join("runs/two-seed3/palinode.lock"));
    let (code, message) = failure(&arguments);
    assert!(
        code == 2 && message.contains(&format!("in use by process {}", first.id())),
        "{message}"
    );
    assert!(first.wait().unwrap().success());

    // Other images than a finished run was trained on.
    std::fs::remove_dir_all(out.join("runs/two-seed3")).unwrap();
    let images = bench.data().join("train-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    let mut changed_images = whole.clone();
    changed_images[5000] ^= 1;
    std::fs::write(&images, changed_images).unwrap();
    let (code, message) = failure(&arguments);
    assert!(code == 2 && message.contains("was trained on other images"), "{message}");
    std::fs::write(&images, whole).unwrap();
    json(&arguments);
    let config = out.join("runs/one-seed0/config.toml");
    let kept_config = std::fs::read(&config).unwrap();
    std::fs::remove_file(&config).unwrap();
    assert!(failure(&arguments).1.contains("not the recipe it was run with"));
    std::fs::write(&config, kept_config).unwrap();

    // Another recipe under the name of a run that is there.
    experiment(&bench, "0.2");
    let (code, message) = failure(&arguments);
    assert!(code == 2 && message.contains("two-seed3 was run with another recipe"), "{message}");
    assert!(message.contains("optimizer.learning_rate is 0.1 there, 0.2 here"), "{message}");
}

#[test]
fn pages_are_rebuilt_and_compared() {
    let bench = Playground::new();
    for seed in ["0", "1"] {
        let mut arguments = bench.train(&format!("run{seed}"), 1);
        arguments.extend(["--seed".to_owned(), seed.to_owned()]);
        json(&arguments);
    }
    let [first, second] = ["run0", "run1"].map(|name| bench.path(name));
    let page = std::fs::read(first.join("report.html")).unwrap();
    std::fs::remove_file(first.join("report.html")).unwrap();
    let (a, b) = (first.display().to_string(), second.display().to_string());
    json(&["report", &a, "--json"]);
    assert!(page == std::fs::read(first.join("report.html")).unwrap(), "another page than before");

    // On other images, the page has no part about them.
    let images = bench.data().join("t10k-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    std::fs::write(
        &images,
        whole.iter().map(|byte| byte ^ u8::from(*byte > 100)).collect::<Vec<_>>(),
    )
    .unwrap();
    let message = palinode(&["report", &a]).stderr;
    let message = String::from_utf8_lossy(&message).into_owned();
    assert!(message.contains("the images are not those that the run was tested on"), "{message}");
    std::fs::write(&images, whole).unwrap();

    // Without the images, the page has no part about them and says so (case 29).
    std::fs::rename(bench.data(), bench.path("moved")).unwrap();
    let output = palinode(&["report", &a]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && message.contains("no part about the test images"),
        "{message}"
    );
    let text = std::fs::read_to_string(first.join("report.html")).unwrap();
    assert!(text.contains("could not be read when this page was written again"));
    assert!(text.contains("Test accuracy") && !text.contains("Confusion matrix"));

    let compare = bench.path("compare.html");
    json(&["report", &a, &b, "--compare", &compare.display().to_string(), "--json"]);
    let text = std::fs::read_to_string(compare).unwrap();
    assert!(text.contains("run0") && text.contains("run1") && text.contains("<bdi>seed</bdi>"));
    assert_eq!(text.matches("<svg").count(), 2, "runs are overlaid in one chart per measure");
    assert!(!text.contains("optimizer.momentum"), "what does not differ is not shown");
    let (code, message) = failure(&["report", &bench.path("nothing").display().to_string()]);
    assert!(code == 2 && message.contains("holds no run"), "{message}");
}
