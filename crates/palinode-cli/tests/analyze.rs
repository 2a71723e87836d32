//! `palinode analyze` and `palinode gradcheck`.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Playground, failure, json, palinode};

/// A trained run, and the options that name its images.
fn trained(bench: &Playground) -> [String; 4] {
    json(&bench.train("run", 1));
    ["--data", "fashion-mnist", "--data-dir", bench.data().to_str().unwrap()].map(str::to_owned)
}

fn arguments(words: &[&str], data: &[String]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain(data.to_vec()).collect()
}

#[test]
fn stability_prints_figures_and_writes_a_page() {
    let bench = Playground::new();
    let data = trained(&bench);
    let path = |name: &str| bench.path(name).display().to_string();
    let (best, init) = ("run/weights/best.safetensors", "run/weights/init.safetensors");
    let (best, init, out) = (path(best), path(init), path("page"));
    let words = ["analyze", "stability", "--weights", &best, "--compare", &init];
    let more = ["--images", "2", "--blocks", "2", "--out", &out, "--json"];
    let object = json(&arguments(&[&words[..], &more].concat(), &data));
    assert_eq!(object["images"], 2);
    let networks = object["networks"].as_array().unwrap();
    assert_eq!(networks.len(), 2);
    for network in networks {
        let units = network["units"].as_array().unwrap();
        assert_eq!(units.len(), 3);
        for unit in units {
            assert_eq!(unit["stable"], true);
            assert_eq!(unit["limit"], 2.0);
            assert_eq!(unit["examined"][0]["skew_in"], "energy");
            assert!(unit["max_real"].as_f64().unwrap().abs() < 1e-8);
            assert!(unit["spectral_radius"].as_f64().unwrap() > 0.0);
            assert!(unit["largest_safe_step"].as_f64().unwrap() > 0.0);
            assert!(unit["singular_values"][0]["value"].as_f64().unwrap() > 1.0);
            assert_eq!(unit["growth"]["random"].as_array().unwrap().len(), 8);
        }
    }
    for name in ["stability.html", "spectrum.svg", "bounds.svg", "growth.svg", "table.md"] {
        let text = std::fs::read_to_string(bench.path("page").join(name)).unwrap();
        assert!(text.contains("run best") && text.contains("run init"), "{name}");
    }
    let text = std::fs::read_to_string(bench.path("page/stability.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), object);
    let again =
        failure(&arguments(&["analyze", "stability", "--weights", &best, "--out", &out], &data));
    assert!(again.0 == 2 && again.1.contains("not empty"), "{again:?}");
}

#[test]
fn robustness_prints_the_accuracy_under_every_attack() {
    let bench = Playground::new();
    let data = trained(&bench);
    let best = bench.path("run/weights/best.safetensors").display().to_string();
    let out = bench.path("attacked").display().to_string();
    let words = ["analyze", "robustness", "--weights", &best, "--epsilon", "0.1,0.3"];
    let more = ["--gaussian", "0.2", "--steps", "3", "--images", "15", "--out", &out, "--json"];
    let object = json(&arguments(&[&words[..], &more].concat(), &data));
    let rows = object["networks"][0]["rows"].as_array().unwrap();
    let attacks: Vec<&str> = rows.iter().map(|row| row["attack"].as_str().unwrap()).collect();
    assert_eq!(attacks, ["gaussian", "gaussian", "fgsm", "fgsm", "pgd", "pgd"]);
    assert_eq!((&rows[0]["epsilon"], &rows[5]["steps"]), (&0.0.into(), &3.into()));
    let accuracy = |row: usize| rows[row]["accuracy"].as_f64().unwrap();
    assert!((0..6).all(|row| (accuracy(row) * 15.0).round() / 15.0 == accuracy(row)));
    assert!(accuracy(3) <= accuracy(0), "{object}");
    for name in ["robustness.svg", "robustness.json", "table.md"] {
        assert!(bench.path("attacked").join(name).is_file(), "{name}");
    }
    let wrong = failure(&arguments(
        &["analyze", "robustness", "--weights", &best, "--epsilon", "0"],
        &data,
    ));
    assert!(wrong.0 == 2 && wrong.1.contains("--epsilon"), "{wrong:?}");
    assert!(wrong.1.contains("above 0"), "{wrong:?}");
}

#[test]
fn gradcheck_passes_right_networks_and_exits_with_one_where_a_check_fails() {
    let bench = Playground::new();
    let data = trained(&bench);
    let best = bench.path("run/weights/best.safetensors").display().to_string();
    let words = ["gradcheck", "--weights", &best, "--images", "4", "--json"];
    let object = json(&arguments(&words, &data));
    assert_eq!(object["passed"], true, "{object}");
    let checks = object["checks"].as_array().unwrap();
    for name in [
        "adjoint",
        "difference quotient",
        "Taylor",
        "modes",
        "precision",
        "exact reversal",
        "drift",
    ] {
        assert!(checks.iter().any(|check| check["check"] == name), "{name}");
    }
    // The recipe of the run, at a step where states grow until nothing holds them.
    let recipe = bench.path("run/config.toml").display().to_string();
    let words = ["gradcheck", "--recipe", &recipe, "--images", "4", "--set"];
    let right = palinode(&arguments(&[&words[..], &["model.step=0.2"]].concat(), &[]));
    assert!(right.status.success(), "{right:?}");
    let set = ["model.step=1.5", "--set", "model.blocks=[30, 30, 30]"];
    let wrong = palinode(&arguments(&[&words[..], &set].concat(), &[]));
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let printed = String::from_utf8(wrong.stdout).unwrap();
    assert!(printed.contains("FAILED"), "{printed}");
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains(" checks failed"), "{said}");
    assert!(failure(&arguments(&["gradcheck"], &[])).1.contains("--weights"));
}
