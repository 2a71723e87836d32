//! Training where states come back changed: what a run says, and what it does about it.
#![allow(clippy::unwrap_used)]

mod support;

use palinode::Activation;
use palinode::network::{NetworkConfig, StateKind, load_arrays};
use palinode::residual::BuiltIn;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::Error;
use palinode_train::data::Augmentation;
use palinode_train::recipe::{
    Kind, OnDrift, OptimizerRecipe, Schedule, Settings, SmoothnessRecipe, TrainingRecipe,
};
use palinode_train::train::{
    Observer, Row, SplitOptions, Trainer, TrainingData, Unobserved, read_rows,
};
use std::path::Path;
use support::{Noise, StopAfter, relative};

/// A network of two units of 20 blocks.
#[derive(Clone, Copy)]
struct Deep {
    model: &'static str,
    step: f64,
    activation: Activation,
    norm: bool,
}

/// States of any f32 do not come back at all.
const MIDPOINT: Deep =
    Deep { model: "midpoint", step: 0.6, activation: Activation::Relu, norm: false };

fn trainer(deep: Deep, training: TrainingRecipe) -> Trainer<BuiltIn> {
    let mut config = NetworkConfig::named(deep.model).unwrap().for_data(1, [8, 8], 3);
    config = config.with_units([20, 20], [8, 8]);
    (config.step, config.activation, config.block_norm) = (deep.step, deep.activation, deep.norm);
    let network = config.init(3, config.usual_mode(), &Device::flex().autodiff()).unwrap();
    let options = SplitOptions::default().with_validation(0.25).with_seed(3);
    let data = TrainingData::split(Noise::in_classes(3), options).unwrap();
    let optimizer = OptimizerRecipe::default().with_learning_rate(1e-3).with_clip_norm(0.1);
    let settings = Settings::default()
        .with_augmentation(Augmentation::NONE)
        .with_schedule(Schedule::default().with_kind(Kind::Constant))
        .with_optimizer(optimizer)
        .with_smoothness(SmoothnessRecipe::default())
        .with_training(training);
    Trainer::new(network, data).with_settings(settings)
}

/// Two epochs of three steps with float states.
fn training() -> TrainingRecipe {
    let training = TrainingRecipe::default().with_epochs(2).with_batch_size(8).with_test(false);
    training.with_state(Some(StateKind::Float))
}

#[derive(Default)]
struct Remarks(Vec<String>);

impl Observer for Remarks {
    fn remark(&mut self, remark: &str) {
        // A process says at its start what the step size is beyond; that is not about reversal.
        if !remark.contains("|hλ|") {
            self.0.push(remark.to_owned());
        }
    }
}

fn run(deep: Deep, training: TrainingRecipe, out: &Path) -> Vec<String> {
    let mut remarks = Remarks::default();
    trainer(deep, training).train(out, &mut remarks).unwrap();
    remarks.0
}

fn rows(run: &Path) -> Vec<Row> {
    let rows = read_rows(&run.join("metrics.csv")).unwrap();
    rows.into_iter().filter(|row| row.split == "train").collect()
}

/// All weights of a run, and what its optimiser remembers.
fn state(run: &Path) -> Vec<f64> {
    let (arrays, _) = load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap();
    arrays.into_values().flat_map(|array| array.values).map(f64::from).collect()
}

#[test]
fn exact_states_do_not_drift_and_train_as_stored_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let exact = training().with_state(None);
    let quiet = Deep { step: 0.3, ..MIDPOINT };
    assert_eq!(run(quiet, exact.clone(), &path("exact")), [""; 0]);
    assert!(rows(&path("exact")).iter().all(|row| row.drift.0 == [0.0, 0.0]));
    assert!(rows(&path("exact")).iter().all(|row| row.gradient_drift.is_none()));
    // Without the kernels for whole units, F is computed alike in all modes.
    let normed = Deep { norm: true, ..quiet };
    let of = |mode: Differentiation, name: &str| {
        let training = training().with_state(Some(StateKind::Exact)).with_mode(Some(mode.into()));
        run(normed, training, &path(name));
        state(&path(name))
    };
    let stored = of(Differentiation::Stored, "stored");
    let reversible = of(Differentiation::Reversible, "reversible");
    let error = relative(&reversible, &stored);
    assert!(error < 1e-4, "{error:e}");
}

#[test]
fn a_drifting_unit_is_kept_in_parts_and_the_step_is_made_once_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let remarks = run(MIDPOINT, training(), &path("repaired"));
    assert!(
        remarks
            .iter()
            .any(|text| text.starts_with("unit 0: the state that came back in epoch 1, step 1")
                && text.contains("; it is kept in ")
                && text.ends_with(" parts from now on")),
        "{remarks:?}"
    );
    let first = &rows(&path("repaired"))[0];
    assert!(first.drift.largest().unwrap() > 1e-3, "what was found is in the metrics");
    let later = &rows(&path("repaired"))[1];
    assert!(later.drift.largest().unwrap() <= 1e-3, "{:?}", later.drift);
    assert!(later.gradient_drift.unwrap() <= 0.1, "{:?}", later.gradient_drift);
    // Closer to a run with all states kept than without the repair. (States up to 1e4 magnify every rounding.)
    run(MIDPOINT, training().with_mode(Some(Differentiation::Stored.into())), &path("stored"));
    let reported = training().with_reversal_on_drift(OnDrift::Report);
    let remarks = run(MIDPOINT, reported, &path("reported"));
    let warned = remarks.iter().filter(|text| text.ends_with("its gradients are wrong")).count();
    assert!((1..=2).contains(&warned), "once for every unit: {remarks:?}");
    let truth = state(&path("stored"));
    let repaired = relative(&state(&path("repaired")), &truth);
    let reported = relative(&state(&path("reported")), &truth);
    assert!(repaired < 0.3 * reported, "{repaired:e} with the repair, {reported:e} without");
}

#[test]
fn a_run_stops_where_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let stop = training().with_reversal_on_drift(OnDrift::Stop);
    let out = directory.path().join("run");
    let error = trainer(MIDPOINT, stop).train(&out, &mut Unobserved).unwrap_err();
    assert!(matches!(error, Error::Drift { .. }), "{error}");
    assert!(error.to_string().contains("(epoch 1, step 1)"), "{error}");
    assert!(error.to_string().contains("mode `checkpointed` helps"), "{error}");
}

#[test]
fn parts_and_grids_survive_an_interruption() {
    let directory = tempfile::tempdir().unwrap();
    for (name, training) in [("float", training()), ("exact", training().with_state(None))] {
        let path = |part: &str| directory.path().join(format!("{name}-{part}"));
        let said = run(MIDPOINT, training.clone(), &path("whole"));
        let begun = trainer(MIDPOINT, training.clone()).train(&path("stopped"), &mut StopAfter(2));
        assert!(matches!(begun.unwrap_err(), Error::Interrupted { .. }));
        let mut remarks = Remarks::default();
        trainer(MIDPOINT, training).resume(&path("stopped"), &mut remarks).unwrap();
        assert_eq!(state(&path("stopped")), state(&path("whole")), "{name}");
        // What was found before the interruption is not found again.
        assert_eq!(remarks.0, said[said.len() - remarks.0.len()..], "{name}");
        assert!(name == "exact" || remarks.0.len() < said.len());
        let drifts = |run: &Path| rows(run).into_iter().map(|row| row.drift).collect::<Vec<_>>();
        assert_eq!(drifts(&path("stopped")), drifts(&path("whole")), "{name}");
    }
}

/// States that come back nearly, with gradients that do not.
#[test]
fn gradients_are_watched_too() {
    let directory = tempfile::tempdir().unwrap();
    let nearly = Deep { step: 0.5, ..MIDPOINT };
    let watched = training().with_reversal_tolerance(1e6).with_gradient_tolerance(1e-3);
    let remarks = run(nearly, watched, &directory.path().join("watched"));
    assert!(
        remarks.iter().any(|text| text.contains("the gradients at reconstructed states differ by")),
        "{remarks:?}"
    );
    let found = rows(&directory.path().join("watched"));
    let drift = |row: &Row| row.gradient_drift.unwrap();
    assert!(drift(&found[0]) > 1e-3 && drift(&found[1]) < drift(&found[0]), "{found:?}");
}

/// A run whose weights leave the limit of its scheme says so once for each unit; one within it says nothing.
#[test]
fn a_step_beyond_the_limit_of_the_scheme_is_named_once() {
    #[derive(Default)]
    struct All(Vec<String>);
    impl Observer for All {
        fn remark(&mut self, remark: &str) {
            self.0.push(remark.to_owned());
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let said = |step: f64, name: &str| {
        let mut all = All::default();
        let deep = Deep { step, ..MIDPOINT };
        trainer(deep, training()).train(&directory.path().join(name), &mut all).unwrap();
        all.0.retain(|text| text.contains("|hλ|"));
        all.0
    };
    assert_eq!(said(0.1, "within"), [""; 0]);
    let beyond = said(0.6, "beyond");
    assert_eq!(beyond.len(), 2, "once for each unit: {beyond:?}");
    assert!(beyond[0].starts_with("unit 0: with these weights |hλ| can reach "), "{beyond:?}");
    assert!(beyond[0].contains("its scheme is stable below 1; a step up to 0."), "{beyond:?}");
}
