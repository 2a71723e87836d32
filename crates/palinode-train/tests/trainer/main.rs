//! The trainer with a residual of one's own: runs, resuming, accumulation, starting weights.
#![allow(clippy::unwrap_used)]

mod refusals;
mod start;
#[path = "../support/mod.rs"]
mod support;

use burn::module::{Module, Param};
use burn::tensor::module::conv2d;
use burn::tensor::{Device, Tensor, ops::ConvOptions};
use palinode::network::weights::{Arrays, collect, replace};
use palinode::network::{Network, NetworkConfig, WeightFile, load_arrays, save_arrays};
use palinode::residual::{Effects, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode_train::data::{Augmentation, ImageSource};
use palinode_train::recipe::{
    Decayed, HeadStart, Kind, OptimizerName, OptimizerRecipe, Schedule, Settings, TrainingRecipe,
};
use palinode_train::train::{
    Observer, Outcome, Progress, SplitOptions, StartReport, Trainer, TrainingData, evaluate,
    read_rows,
};
use palinode_train::{Error, Result};
use std::path::Path;

/// F(x) = tanh(K x) with a 3×3 kernel.
#[derive(Module, Debug)]
struct Own {
    kernel: Param<Tensor<4>>,
}

impl Residual for Own {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        conv2d(x, self.kernel.val(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)).tanh()
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

/// Another one with the same parameters.
#[derive(Module, Debug)]
struct Other {
    kernel: Param<Tensor<4>>,
}

impl Residual for Other {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        conv2d(x, self.kernel.val(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

/// Images that are computed when they are read: class c has a bright row at height 2c.
#[derive(Clone)]
struct Rows {
    images: usize,
    offset: usize,
    classes: Vec<String>,
    /// An image that cannot be read.
    broken: Option<usize>,
}

impl Rows {
    fn new(images: usize, offset: usize, classes: usize) -> Self {
        let classes = (0..classes).map(|class| class.to_string()).collect();
        Self { images, offset, classes, broken: None }
    }
}

impl ImageSource for Rows {
    fn len(&self) -> usize {
        self.images
    }
    fn channels(&self) -> usize {
        1
    }
    fn size(&self) -> [usize; 2] {
        [8, 8]
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn label(&self, index: usize) -> usize {
        index % self.classes.len()
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        if self.broken == Some(index) {
            let path = format!("image-{index}.png");
            return Err(palinode::Error::format(path, "broken").into());
        }
        let mut noise = ((index + self.offset) as u32).wrapping_mul(2_654_435_761);
        for (pixel, byte) in into.iter_mut().enumerate() {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bar = if pixel / 8 / 2 == self.label(index) { 150 } else { 0 };
            *byte = bar + (noise >> 25) as u8 / 2;
        }
        Ok(())
    }
}

fn config(classes: usize) -> NetworkConfig {
    let mut config = NetworkConfig::named("leapfrog").unwrap().for_data(1, [8, 8], classes);
    config = config.with_units([1, 2, 1], [4, 4, 6]);
    config.step = 0.5;
    config
}

fn own(config: &NetworkConfig, seed: u64) -> Network<Own> {
    let device = Device::flex().autodiff();
    let make =
        config.init_with(seed, Differentiation::Reversible, &device, |site, generator, device| {
            let shape = [site.channels, site.channels, 3, 3];
            Own { kernel: Param::from_tensor(generator.normal(shape, 0.2, device)) }
        });
    make.unwrap()
}

fn data(images: usize, classes: usize) -> TrainingData {
    let options = SplitOptions::default().with_validation(0.2).with_seed(3);
    let data = TrainingData::split(Rows::new(images, 0, classes), options).unwrap();
    data.with_test(Rows::new(20, 10_000, classes), 0).unwrap()
}

fn settings(epochs: usize) -> Settings {
    Settings::default()
        .with_seed(5)
        .with_augmentation(Augmentation::NONE)
        .with_schedule(Schedule::default().with_kind(Kind::OneCycle).with_warm_up(0.3))
        .with_optimizer(OptimizerRecipe::default().with_learning_rate(0.02).with_clip_norm(5.0))
        .with_training(TrainingRecipe::default().with_epochs(epochs).with_batch_size(8))
}

fn trainer(settings: &Settings) -> Trainer<Own> {
    Trainer::new(own(&config(4), 1), data(80, 4)).with_settings(settings.clone())
}

/// Stops after some steps, and keeps what it is told.
#[derive(Default)]
struct Watch {
    stop_after: Option<usize>,
    steps: usize,
    started: Option<StartReport>,
}

impl Observer for Watch {
    fn step(&mut self, _: &Progress) {
        self.steps += 1;
    }
    fn stop_requested(&self) -> bool {
        self.stop_after.is_some_and(|limit| self.steps >= limit)
    }
    fn started_from(&mut self, start: &StartReport) {
        self.started = Some(start.clone());
    }
}

fn weights(run: &Path, which: &str) -> Arrays {
    load_arrays(&run.join(format!("weights/{which}.safetensors"))).unwrap().0
}

fn checkpoint(run: &Path) -> Arrays {
    load_arrays(&run.join("checkpoints/latest.safetensors")).unwrap().0
}

fn train(settings: &Settings, out: &Path) -> Outcome {
    trainer(settings).train(out, &mut Watch::default()).unwrap()
}

/// Trains, stopping after `stop` steps and resuming again and again.
fn train_in_pieces(settings: &Settings, out: &Path, stop: usize) -> Outcome {
    let mut result =
        trainer(settings).train(out, &mut Watch { stop_after: Some(stop), ..Watch::default() });
    let mut pieces = 1;
    while let Err(Error::Interrupted { .. }) = result {
        pieces += 1;
        let mut watch = Watch { stop_after: Some(stop), ..Watch::default() };
        result = trainer(settings).resume(out, &mut watch);
    }
    assert!(pieces > 2, "the run was never interrupted");
    result.unwrap()
}

#[test]
fn a_residual_of_ones_own_trains_reports_and_resumes_with_every_optimizer() {
    let folder = tempfile::tempdir().unwrap();
    for (name, accumulate) in [
        (OptimizerName::Sgd, 1),
        (OptimizerName::AdamW, 1),
        (OptimizerName::Muon, 1),
        (OptimizerName::AdamW, 3),
    ] {
        let mut settings = settings(3);
        settings.optimizer.name = name;
        (settings.training.accumulate, settings.training.average) = (accumulate, 0.9);
        settings.training.label_smoothing = 0.1;
        let at = |kind: &str| folder.path().join(format!("{}-{accumulate}-{kind}", name.name()));
        let (whole, pieces) = (at("whole"), at("pieces"));
        let outcome = train(&settings, &whole);
        let again = train_in_pieces(&settings, &pieces, if accumulate > 1 { 2 } else { 5 });
        assert_eq!(outcome.test_loss, again.test_loss);
        for which in ["init", "best", "last"] {
            let bytes = |run: &Path| {
                std::fs::read(run.join(format!("weights/{which}.safetensors"))).unwrap()
            };
            assert!(bytes(&whole) == bytes(&pieces), "{name:?}, {accumulate}: {which} differs");
        }
        assert_eq!(checkpoint(&whole), checkpoint(&pieces));
        let field = if name == OptimizerName::AdamW { "moment_2" } else { "momentum" };
        assert!(checkpoint(&whole).contains_key(&format!("optimizer.{field}.stem.weight")));
        for file in ["config.toml", "metrics.csv", "curves.svg", "palinode.lock"] {
            assert!(whole.join(file).is_file(), "{file} is missing");
        }
        let page = std::fs::read_to_string(whole.join("report.html")).unwrap();
        assert!(page.contains("leapfrog with Own") && page.contains("Confusion matrix"));
        // This program counts no bytes, and does not say that there were none.
        assert_eq!(outcome.peak_bytes, None);
        let rows = read_rows(&whole.join("metrics.csv")).unwrap();
        assert!(rows.len() == 6 && rows.iter().all(|row| row.peak_bytes.is_none()));
        assert!(!page.contains("0\u{a0}MB"));
        // A finished run is left as it is.
        assert_eq!(trainer(&settings).resume(&whole, &mut Watch::default()).unwrap(), outcome);

        // What was saved is what was tested.
        let file = WeightFile::load(&whole.join("weights/best.safetensors")).unwrap();
        let loaded = replace(own(&config(4), 9), &file.arrays).unwrap();
        let found = evaluate(&loaded, &Rows::new(20, 10_000, 4), &file.data, 128).unwrap();
        assert_eq!(Some(found.loss), outcome.test_loss);
    }
}

#[test]
fn accumulated_batches_are_one_larger_batch() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, batch_size, accumulate| {
        let mut settings = settings(2);
        settings.training.batch_size = batch_size;
        settings.training.accumulate = accumulate;
        let out = folder.path().join(name);
        let mut watch = Watch::default();
        trainer(&settings).train(&out, &mut watch).unwrap();
        (weights(&out, "last"), watch.steps)
    };
    // 64 training images: the last step of an epoch has 16 instead of 24.
    let (large, steps) = run("large", 24, 1);
    let (small, same) = run("small", 8, 3);
    assert_eq!((steps, same), (6, 6));
    for (name, array) in &large {
        for (a, b) in array.values.iter().zip(&small[name].values) {
            assert!((a - b).abs() < 1e-6, "{name}: {a} against {b}");
        }
    }
}

/// The weights of a network that nobody trained are those it was made with.
#[test]
fn no_epochs_write_the_initial_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let outcome = train(&settings(0), &out);
    assert_eq!((outcome.epochs, outcome.test_loss), (0, None));
    assert_eq!(weights(&out, "init"), collect(&own(&config(4), 1)));
}
