//! The pages of runs.
#![allow(clippy::unwrap_used)]

use palinode::network::NetworkConfig;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::data::Dataset;
use palinode_train::recipe::{DEFAULTS, Recipe};
use palinode_train::report::{Compared, Report, comparison};
use palinode_train::train::{Evaluation, Numbers, Outcome, Row};
use std::path::Path;

fn rows(epochs: usize) -> Vec<Row> {
    let row = |epoch: usize, split: &str| Row {
        epoch,
        split: split.to_owned(),
        loss: 1.0 / epoch as f64,
        accuracy: 1.0 - 0.5 / epoch as f64,
        learning_rate: 0.1,
        seconds: 1.0,
        images_per_second: 100.0,
        peak_bytes: Some(1_000_000),
        drift: Numbers(vec![0.0, 2e-7]),
        ..Row::default()
    };
    (1..=epochs).flat_map(|epoch| [row(epoch, "train"), row(epoch, "validation")]).collect()
}

fn recipe(setting: &str) -> Recipe {
    let text = format!("{DEFAULTS}{setting}");
    Recipe::parse(&text, Path::new("test.toml"), &[]).unwrap().resolved().unwrap()
}

fn outcome() -> Outcome {
    serde_json::from_str(
        r#"{
            "run": "run", "epochs": 3, "parameters": 1751882, "validation_accuracy": 0.75,
            "test_accuracy": 0.5, "test_loss": 0.7, "seconds": 3.0, "images_per_second": null,
            "peak_bytes": null
        }"#,
    )
    .unwrap()
}

/// The page of a run on classes of these names; every image is taken for the next class.
fn page(classes: &[&str]) -> String {
    let test = Dataset::new(
        vec![0; classes.len()],
        (0..classes.len() as u8).collect(),
        1,
        [1, 1],
        classes.iter().map(|&class| class.to_owned()).collect(),
    );
    let wrong = |label: usize| (label + 1) % classes.len();
    let logits = (0..classes.len()).flat_map(|label| {
        (0..classes.len()).map(move |class| (class == wrong(label)) as u8 as f32)
    });
    let evaluation = Evaluation { loss: 1.0, accuracy: 0.0, logits: logits.collect() };
    let config = NetworkConfig::named("hamiltonian-74").unwrap();
    let config = config.with_units([1, 1, 1], [4, 4, 4]).for_data(1, [8, 8], classes.len());
    let network = config.init(0, Differentiation::Reversible, &Device::flex()).unwrap();
    let report = Report {
        title: "hamiltonian on <images>",
        outcome: &outcome(),
        config: &recipe("").to_toml().unwrap(),
        modes: &Differentiation::Reversible.into(),
        network: &network,
        rows: &rows(3),
        best: None,
        tested: Some((&test, &evaluation)),
    };
    report.to_html().unwrap()
}

/// Whether every element that is opened is closed, in the right order.
fn is_well_formed(page: &str) -> bool {
    const VOID: [&str; 3] = ["!doctype", "meta", "img"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.split([' ', '\n']).next().unwrap().trim_end_matches('/');
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    open.is_empty()
}

#[test]
fn class_names_are_text_whatever_is_in_them() {
    let odd = ["<script>alert(1)</script>", "\"quoted\" & 'so on'", "{{ title }} {% block %}"];
    let page = page(&odd);
    assert!(!page.contains("<script"), "a class name became an element");
    assert!(page.contains("&#60;script&#62;alert(1)"));
    assert!(page.contains("{{ title }} {% block %}"), "a class name is no template");
    assert!(is_well_formed(&page));
}

#[test]
fn a_page_has_every_section_and_needs_no_other_file() {
    let page = page(&["ant", "bee", "cat"]);
    for part in [
        "Learning curves",
        "Learning rate",
        "Confusion matrix",
        "Precision and recall",
        "The most confident mistakes",
        "Parameters by part",
        "hamiltonian on &#60;images&#62;",
        "Every epoch in numbers",
        "recipe_version",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "the page lacks {part}");
    }
    assert_eq!(page.matches("http").count(), page.matches("xmlns=\"http").count());
    assert!(!page.contains("@import") && !page.contains("<link"));
    assert!(is_well_formed(&page));
}

#[test]
fn many_classes_are_a_picture_and_a_list_of_pairs() {
    let names: Vec<String> = (0..25).map(|class| format!("class {class}")).collect();
    let page = page(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(page.contains("The pairs that are most often confused"));
    assert_eq!(page.matches("<rect x=\"").count() - page.matches("fill=\"#FFFFFF\"").count(), 25);
    assert!(is_well_formed(&page));
}

#[test]
fn a_comparison_overlays_its_runs() {
    let [first, second] = [recipe(""), recipe("seed = 7")];
    let (outcome, long, short) = (outcome(), rows(4), rows(2));
    let finished = Compared {
        path: Path::new("runs/a"),
        recipe: &first,
        outcome: Some(&outcome),
        rows: &long,
    };
    let unfinished =
        Compared { path: Path::new("runs/b & c"), recipe: &second, outcome: None, rows: &short };
    let page = comparison(&[finished, unfinished]).unwrap();
    assert_eq!(page.matches("<svg").count(), 2, "one chart of the loss, one of the accuracy");
    for chart in page.split("<svg").skip(1) {
        let chart = chart.split("</svg>").next().unwrap();
        assert!(chart.contains("\na\n") && chart.contains("\nb &amp; c\n"), "{chart}");
    }
    assert!(page.contains("<bdi>seed</bdi></th><td>0</td><td>7</td>"));
    assert!(!page.contains("optimizer.momentum"), "what does not differ is not shown");
    assert!(is_well_formed(&page));

    // Directories of one name are told apart by their paths.
    let other = Compared { path: Path::new("more/a"), ..unfinished };
    let page = comparison(&[finished, other]).unwrap();
    assert!(page.contains("runs/a") && page.contains("more/a"));
    let same = comparison(&[finished, finished]).unwrap();
    assert!(same.contains("The runs have the same settings."));
}
