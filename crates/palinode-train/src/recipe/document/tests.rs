//! What a recipe reads, refuses and writes.

use super::super::overrides::{flatten, parse_override};
use super::*;
use crate::data::SourceName;
use palinode::network::TransitionKind;
use palinode::reversible::{Algorithm, Differentiation};
use palinode::scheme::SchemeName;
use palinode_kernels::Isa;

fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<Recipe> {
    let owned: Vec<_> = overrides
        .iter()
        .map(|(field, value)| parse_override(&format!("{field}={value}")).unwrap())
        .collect();
    let text = match text.contains("recipe_version") {
        true => text.to_owned(),
        false => format!("{DEFAULTS}{text}"),
    };
    Recipe::parse(&text, Path::new("recipe.toml"), &owned)
}

/// The template's commented defaults, uncommented, are the defaults, and none is left out.
#[test]
fn the_template_shows_every_default() {
    let uncommented: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix("#: ") {
            Some(setting) => format!("{setting}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    assert_eq!(parse(TEMPLATE, &[]).unwrap(), Recipe::default());
    let shown = parse(&uncommented, &[]).unwrap().resolved().unwrap();
    let resolved = Recipe::default().resolved().unwrap();
    let (dir, fold) = (shown.data.dir.clone(), Some(0));
    let with_dir = DataRecipe { dir, fold, memory: Some(2000), ..resolved.data.clone() };
    let training = TrainingRecipe {
        isa: Some(Isa::Avx2),
        algorithm: Some(Algorithm::Winograd2),
        start: shown.training.start.clone(),
        ..resolved.training.clone()
    };
    let transitions = Some(vec![TransitionKind::Pool; 2]);
    let model = ModelRecipe { transitions, ..resolved.model.clone() };
    let expected = Recipe { model, data: with_dir, training, ..resolved.clone() };
    assert_eq!(shown, expected);

    let fields = |text: &str| -> Vec<String> {
        let table: Table = toml::from_str(text).unwrap();
        let named = flatten("", &table).into_iter().map(|(name, _)| name);
        let mut fields: Vec<String> = named.collect();
        fields.sort();
        fields
    };
    let mut written = fields(&resolved.to_toml().unwrap());
    let unset = [
        "model.transitions",
        "data.dir",
        "data.fold",
        "data.memory",
        "training.isa",
        "training.algorithm",
        "training.start",
    ];
    written.extend(unset.map(str::to_owned));
    written.sort();
    assert_eq!(fields(&uncommented), written);
}

#[test]
fn the_quick_start_is_what_it_promises() {
    let recipe = parse(QUICK_START, &[]).unwrap().resolved().unwrap();
    assert_eq!(recipe.training.mode, Some(Differentiation::Reversible.into()));
    let config = recipe.network(1, [32, 32], 10).unwrap();
    assert_eq!(config.scheme, SchemeName::Hamiltonian);
    assert!(config.blocks.iter().all(|&blocks| blocks >= 2));
}

#[test]
fn overrides_reach_every_depth_and_type() {
    let recipe = parse(
        "seed = 1",
        &[
            ("optimizer.learning_rate", "0.5"),
            ("model.blocks", "[1, 2, 3]"),
            ("model.stem.activation", "relu"),
            ("data.name", "cifar-10"),
            ("seed", "7"),
        ],
    )
    .unwrap();
    assert_eq!(recipe.optimizer.learning_rate, 0.5);
    assert_eq!(recipe.model.blocks, Some(vec![1, 2, 3]));
    assert_eq!(recipe.data.name, SourceName::Cifar10);
    assert_eq!(recipe.seed, 7);
}

#[test]
fn another_model_brings_its_own_shape() {
    let recipe = parse(QUICK_START, &[("model.name", "midpoint-26")]).unwrap();
    let model = recipe.resolved().unwrap().model;
    assert_eq!(model.blocks, Some(vec![4, 4, 4]));
    assert_eq!(model.scheme, Some(SchemeName::Midpoint));
    let both = [("model.blocks", "[1, 1, 1]"), ("model.name", "midpoint-26")];
    let model = parse(QUICK_START, &both).unwrap().model;
    assert_eq!(model.blocks, Some(vec![1, 1, 1]), "what is asked for beside the name stays");
}

/// A recipe with every choice written out is as good a beginning as a short one.
#[test]
fn an_override_of_a_resolved_recipe_is_as_one_of_the_defaults() {
    let of = |model: &str| parse("", &[("model.name", model)]).unwrap().resolved().unwrap();
    let written = |recipe: &Recipe| recipe.to_toml().unwrap();
    let models = ["hamiltonian-74", "resnet-32", "midpoint-26", "resnext-29"];
    for first in models {
        for second in models {
            let changed = parse(&written(&of(first)), &[("model.name", second)]).unwrap();
            assert_eq!(changed.resolved().unwrap(), of(second), "{first}, then {second}");
        }
    }
    let variants = ["plain", "regularized", "inception", "inception-large"];
    let with =
        |variant: &str| parse("", &[("model.variant", variant)]).unwrap().resolved().unwrap();
    for first in variants {
        for second in variants {
            let changed = parse(&written(&with(first)), &[("model.variant", second)]).unwrap();
            assert_eq!(changed.resolved().unwrap(), with(second), "{first}, then {second}");
        }
    }
    let euler = parse(&written(&of("hamiltonian")), &[("model.scheme", "midpoint")]).unwrap();
    let expected = parse("", &[("model.name", "hamiltonian"), ("model.scheme", "midpoint")]);
    assert_eq!(euler.resolved().unwrap(), expected.unwrap().resolved().unwrap());
    let moved =
        parse("[data]\nname = \"stl-10\"\ndir = \"/x\"\nfold = 1", &[("data.name", "cifar-10")]);
    assert_eq!(moved.unwrap().data.fold, None);
    let chosen = [("model.name", "resnet-32"), ("training.mode", "checkpointed")];
    let chosen = parse(&written(&of("hamiltonian")), &chosen).unwrap();
    assert_eq!(chosen.training.mode, Some(Differentiation::Checkpointed.into()));
}

#[test]
fn resolving_is_idempotent_and_survives_toml() {
    let resolved = Recipe::default().resolved().unwrap();
    let again = parse(&resolved.to_toml().unwrap(), &[]).unwrap();
    assert_eq!(again, resolved);
    assert_eq!(again.clone().resolved().unwrap(), again);
}

#[test]
fn mistakes_are_named() {
    let message = |text, set: &[_]| parse(text, set).unwrap_err().to_string();
    assert!(message("sed = 1", &[]).contains("unknown field `sed`"));
    assert!(message("[model]\nname = \"x\"", &[]).contains("no model `x`"));
    assert!(message("recipe_version = 2", &[]).contains("reads version 1"));
    assert!(message("[training]\nbatch_size = 0", &[]).contains("training.batch_size"));
    assert!(message("", &[("optimizer.lr", "1")]).contains("optimizer.lr: unknown field `lr`"));
    assert!(message("", &[("seed.x", "1")]).contains("seed: "));
    assert!(message("", &[("data.name", "mnist")]).contains("data.name: unknown variant"));
    assert!(message("", &[("optimizer.momentum", "1.0")]).contains("optimizer.momentum"));
    assert!(message("", &[("optimizer.name", "adam")]).contains("unknown variant `adam`"));
    assert!(message("", &[("optimizer.betas", "[0.9, 1.0]")]).contains("optimizer.betas"));
    assert!(message("", &[("optimizer.epsilon", "0.0")]).contains("optimizer.epsilon"));
    assert!(message("", &[("training.accumulate", "0")]).contains("training.accumulate"));
    assert!(message("", &[("training.freeze", "[\"\"]")]).contains("training.freeze"));
    assert!(message("seed = ", &[]).contains("recipe.toml"));
    let empty = Recipe::parse("", Path::new("e.toml"), &[]).unwrap_err().to_string();
    assert!(empty.contains("e.toml: no recipe: `recipe_version = 1`"), "{empty}");
    let text = message("", &[("training.epochs", "many")]);
    assert!(text.contains("expected a whole number") && !text.contains("usize"), "{text}");
}
