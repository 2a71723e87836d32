//! Training on a GPU runtime against the CPU. Debian's software Vulkan is enough; see the tests of `palinode`.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

mod support;

use palinode::Activation;
use palinode::device::DeviceName;
use palinode::network::{NetworkConfig, load_arrays};
use palinode::precision::NumberType;
use palinode::residual::BuiltIn;
use palinode::tensor::Device;
use palinode_train::Error;
use palinode_train::data::Augmentation;
use palinode_train::recipe::{
    Kind, OptimizerName, OptimizerRecipe, Schedule, Settings, SmoothnessKind, SmoothnessRecipe,
    TrainingRecipe,
};
use palinode_train::train::{Observer, Progress, SplitOptions, Trainer, TrainingData, Unobserved};
use std::path::Path;
use support::{Noise, StopAfter, relative};

/// The device under test, or `None` with a remark if there is none here.
fn device() -> Option<DeviceName> {
    let wanted = std::env::var("PALINODE_DEVICE").ok();
    let name: DeviceName = wanted.as_deref().unwrap_or("wgpu").parse().unwrap();
    match name.open() {
        Ok(_) => Some(name),
        Err(error) if wanted.is_none() => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

const CPU: DeviceName = DeviceName { runtime: palinode::device::Runtime::Cpu, index: 0 };

/// A network with everything that draws random numbers; three steps of eight images make an epoch.
fn trainer(settings: Settings, block_norm: bool) -> Trainer<BuiltIn> {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 3);
    config = config.with_units([2, 2], [8, 16]);
    (config.activation, config.dropout, config.stem.norm) = (Activation::Tanh, 0.3, true);
    (config.block_norm, config.block_dropout) = (block_norm, if block_norm { 0.2 } else { 0.0 });
    let network = config.init(3, config.usual_mode(), &Device::flex().autodiff()).unwrap();
    let options = SplitOptions::default().with_validation(0.25).with_seed(3);
    let data = TrainingData::split(Noise::in_classes(3), options).unwrap();
    Trainer::new(network, data).with_settings(settings)
}

/// Settings with everything that remembers something from step to step.
fn settings(device: DeviceName, epochs: usize) -> Settings {
    let optimizer = OptimizerRecipe::default().with_learning_rate(0.05).with_clip_norm(0.5);
    let smoothness = SmoothnessRecipe::default().with_kind(SmoothnessKind::Step);
    let training = TrainingRecipe::default().with_epochs(epochs).with_batch_size(8);
    Settings::default()
        .with_augmentation(Augmentation::NONE)
        .with_schedule(Schedule::default().with_kind(Kind::Constant))
        .with_optimizer(optimizer)
        .with_smoothness(smoothness)
        .with_training(training.with_average(0.9).with_test(false).with_device(Some(device)))
}

fn run(settings: Settings, out: &Path) {
    trainer(settings, false).train(out, &mut Unobserved).unwrap();
}

/// All weights of a run, and what optimiser and average remember.
fn state(run: &Path) -> Vec<f64> {
    let (arrays, _) = load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap();
    let values = arrays.into_values().flat_map(|array| array.values);
    values.map(f64::from).collect()
}

fn weights(run: &Path) -> [Vec<u8>; 2] {
    ["best", "last"]
        .map(|file| std::fs::read(run.join(format!("weights/{file}.safetensors"))).unwrap())
}

/// Loss and accuracy of training and validation.
fn metrics(run: &Path) -> Vec<f64> {
    let rows = palinode_train::train::read_rows(&run.join("metrics.csv")).unwrap();
    rows.iter().flat_map(|row| [row.loss, row.accuracy]).collect()
}

#[test]
fn three_steps_end_with_the_weights_and_the_state_of_the_cpu() {
    let Some(device) = device() else { return };
    let directory = tempfile::tempdir().unwrap();
    // AdamW divides rounding errors by the size of the gradient, hence a large ε.
    let adam = OptimizerRecipe::default().with_name(OptimizerName::AdamW).with_epsilon(0.1);
    for (number, (optimizer, block_norm)) in
        [(None, false), (None, true), (Some(adam), false)].into_iter().enumerate()
    {
        let [here, there] = [CPU, device].map(|device| {
            let mut settings = settings(device, 1);
            settings.optimizer = optimizer.clone().unwrap_or(settings.optimizer);
            let out = directory.path().join(format!("{number}-{device}"));
            trainer(settings, block_norm).train(&out, &mut Unobserved).unwrap();
            out
        });
        let error = relative(&state(&there), &state(&here));
        assert!(error <= 1e-5, "{number}: {error:e}");
        let error = relative(&metrics(&there), &metrics(&here));
        assert!(error <= 1e-5, "{number}: metrics {error:e}");
    }
}

#[test]
fn an_interrupted_run_ends_in_the_same_bytes_and_a_second_run_too() {
    let Some(device) = device() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [whole, again, stopped] =
        ["whole", "again", "stopped"].map(|name| directory.path().join(name));
    run(settings(device, 2), &whole);
    run(settings(device, 2), &again);
    assert_eq!(weights(&whole), weights(&again));
    let begun = trainer(settings(device, 2), false).train(stopped.as_path(), &mut StopAfter(2));
    assert!(matches!(begun.unwrap_err(), Error::Interrupted { .. }));
    trainer(settings(device, 2), false).resume(&stopped, &mut Unobserved).unwrap();
    assert_eq!(weights(&whole), weights(&stopped));
    assert_eq!(state(&whole), state(&stopped));
    assert_eq!(metrics(&whole), metrics(&stopped));
}

/// Loss and accuracy as a progress bar sees them, and the remarks of a run.
#[derive(Default)]
struct Watcher {
    losses: Vec<f64>,
    remarks: Vec<String>,
}

impl Observer for Watcher {
    fn step(&mut self, progress: &Progress) {
        self.losses.push(progress.loss);
    }
    fn remark(&mut self, remark: &str) {
        self.remarks.push(remark.to_owned());
    }
}

/// Twenty-three steps of one image: the loss is read after the twentieth and after the last.
#[test]
fn the_loss_is_read_every_twenty_steps_and_exactly_at_the_end_of_an_epoch() {
    let Some(device) = device() else { return };
    let directory = tempfile::tempdir().unwrap();
    let run = |device: DeviceName| {
        let mut settings = settings(device, 1);
        settings.training.batch_size = 1;
        let (mut watcher, out) = (Watcher::default(), directory.path().join(device.to_string()));
        trainer(settings, false).train(&out, &mut watcher).unwrap();
        (watcher, metrics(&out))
    };
    let ((here, truth), (there, found)) = (run(CPU), run(device));
    assert_eq!(there.losses.len(), 23);
    assert!(here.losses.iter().all(|loss| loss.is_finite()));
    assert!(there.losses[..19].iter().all(|loss| loss.is_nan()), "{:?}", there.losses);
    let twentieth = there.losses[19] / here.losses[19] - 1.0;
    assert!(twentieth.abs() <= 1e-4, "{twentieth:e}");
    let error = relative(&found, &truth);
    assert!(error <= 1e-4, "{error:e}");
    let remarks = [
        "every unit is computed as a whole, by one kernel",
        "every unit gives the same bits twice on this device",
    ];
    assert!(remarks.iter().all(|remark| there.remarks.iter().any(|own| own == remark)));
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_with_its_step_and_without_a_checkpoint() {
    let Some(device) = device() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [here, there] = [CPU, device].map(|device| {
        let mut settings = settings(device, 1);
        settings.training.batch_size = 1;
        settings.optimizer = settings.optimizer.with_learning_rate(1e30).with_clip_norm(0.0);
        settings.smoothness = SmoothnessRecipe::default();
        let out = directory.path().join(device.to_string());
        let error = trainer(settings, false).train(&out, &mut Unobserved).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
        let saved = std::fs::exists(out.join("checkpoints/latest.safetensors")).unwrap();
        assert!(!saved || state(&out).iter().all(|value| value.is_finite()));
        error.to_string().replace(&out.display().to_string(), "DIR")
    });
    assert_eq!(there, here);
}

#[test]
fn training_in_f16_stays_close_to_f32_and_resumes_in_the_same_bytes() {
    let Some(device) = device() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [whole, stopped, full] =
        ["whole", "stopped", "full"].map(|name| directory.path().join(name));
    let half = || {
        let mut settings = settings(device, 2);
        settings.training.precision = NumberType::F16;
        settings
    };
    run(half(), &whole);
    run(settings(device, 2), &full);
    let error = relative(&state(&whole), &state(&full));
    assert!(error > 1e-6 && error < 1e-2, "{error:e}");
    let begun = trainer(half(), false).train(stopped.as_path(), &mut StopAfter(2));
    assert!(matches!(begun.unwrap_err(), Error::Interrupted { .. }));
    trainer(half(), false).resume(&stopped, &mut Unobserved).unwrap();
    assert_eq!(weights(&whole), weights(&stopped));
}

#[test]
fn a_run_moves_from_the_cpu_to_the_device_and_back() {
    let Some(device) = device() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [moved, whole] = ["moved", "whole"].map(|name| directory.path().join(name));
    run(settings(CPU, 1), &moved);
    for (epochs, device) in [(2, device), (3, CPU)] {
        trainer(settings(device, epochs), false).extend(&moved, &mut Unobserved).unwrap();
    }
    run(settings(CPU, 3), &whole);
    let error = relative(&state(&moved), &state(&whole));
    assert!(error <= 1e-5, "{error:e}");
}
