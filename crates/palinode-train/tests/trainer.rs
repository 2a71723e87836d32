//! The trainer with a residual of one's own: runs, resuming, accumulation, starting weights.
#![allow(clippy::unwrap_used)]

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
        for file in ["config.toml", "metrics.csv", "curves.svg", "events.out.tfevents.palinode"] {
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

#[test]
fn another_network_data_or_setting_does_not_continue_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let begin = |name: &str| {
        let run = folder.path().join(name);
        let mut watch = Watch { stop_after: Some(3), ..Watch::default() };
        assert!(trainer(&settings(2)).train(&run, &mut watch).is_err());
        run
    };
    let run = begin("run");
    let message = |result: Result<Outcome>| result.unwrap_err().to_string();
    let resume = |trainer: Trainer<Own>| message(trainer.resume(&run, &mut Watch::default()));

    let mut wider = config(4);
    wider.widths[2] = 8;
    let wider = Trainer::new(own(&wider, 1), data(80, 4)).with_settings(settings(2));
    let text = resume(wider);
    assert!(text.contains("`widths` is [4,4,6] in the checkpoint and [4,4,8]"), "{text}");

    let device = Device::flex().autodiff();
    let other =
        config(4).init_with(1, Differentiation::Reversible, &device, |site, generator, device| {
            let shape = [site.channels, site.channels, 3, 3];
            Other { kernel: Param::from_tensor(generator.normal(shape, 0.2, device)) }
        });
    let other = Trainer::new(other.unwrap(), data(80, 4)).with_settings(settings(2));
    let text = message(other.resume(&run, &mut Watch::default()));
    assert!(text.contains("`residual` is Own in the checkpoint and Other"), "{text}");

    let text = resume(Trainer::new(own(&config(4), 1), data(84, 4)).with_settings(settings(2)));
    assert!(text.contains("data: the training images are not those"), "{text}");
    let text = resume(trainer(&settings(2).with_seed(6)));
    assert!(text.contains("`seed = 5`, now `seed = 6`"), "{text}");

    // Other versions of the format, and one without a version.
    let file = run.join("checkpoints/latest.safetensors");
    let (arrays, metadata) = load_arrays(&file).unwrap();
    for (version, words) in [(Some("3"), "version 3"), (None, "version 1")] {
        let mut metadata = metadata.clone();
        match version {
            Some(version) => metadata.insert("palinode.checkpoint".into(), version.into()),
            None => metadata.remove("palinode.checkpoint"),
        };
        save_arrays(&file, &arrays, &metadata).unwrap();
        let text = resume(trainer(&settings(2)));
        assert!(text.contains(words) && text.contains("reads version 2"), "{text}");
    }
    let mut broken = arrays.clone();
    broken.remove("optimizer.momentum.head.bias");
    save_arrays(&file, &broken, &metadata).unwrap();
    let text = resume(trainer(&settings(2)));
    assert!(text.contains("`momentum.head.bias` is missing"), "{text}");
    save_arrays(&file, &arrays, &metadata).unwrap();
    trainer(&settings(2)).resume(&run, &mut Watch::default()).unwrap();
}

#[test]
fn a_network_is_fine_tuned_on_other_classes_with_frozen_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    train(&settings(2), &first);
    let file = first.join("weights/best.safetensors");
    for name in [OptimizerName::Sgd, OptimizerName::AdamW, OptimizerName::Muon] {
        let tuned = |training: TrainingRecipe| {
            let optimizer = OptimizerRecipe::default()
                .with_name(name)
                .with_weight_decay(0.1)
                .with_decayed(Decayed::All);
            let settings = settings(2).with_optimizer(optimizer).with_training(training);
            Trainer::new(own(&config(3), 8), data(60, 3)).with_settings(settings)
        };
        let recipe = settings(2).training.with_start(Some(file.clone()));
        let frozen = vec!["stem".to_owned(), "units.1".to_owned()];
        let recipe = recipe.with_head(HeadStart::New).with_freeze(frozen);
        let out = folder.path().join(name.name());
        let mut watch = Watch::default();
        tuned(recipe.clone()).train(&out, &mut watch).unwrap();
        let report = watch.started.unwrap();
        assert_eq!(
            report.taken,
            ["stem.bias", "stem.weight", "units.0.kernel", "units.1.kernel", "units.2.kernel"]
        );
        let names: Vec<&str> = report.initialised.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, report.unused.len()), (vec!["head.bias", "head.weight"], 0));
        let (old, new) = (weights(&first, "best"), weights(&out, "last"));
        for name in ["stem.weight", "stem.bias", "units.1.kernel"] {
            assert_eq!(old[name], new[name], "{name} is frozen");
        }
        for name in ["units.0.kernel", "units.2.kernel"] {
            assert_ne!(old[name], new[name], "{name} is trained");
        }
        assert_eq!(new["head.weight"].shape[0], 3);

        // Interrupted and resumed, the frozen ones are still frozen, and the bits are the same.
        let again = folder.path().join(format!("{}-again", name.name()));
        let mut watch = Watch { stop_after: Some(4), ..Watch::default() };
        assert!(tuned(recipe.clone()).train(&again, &mut watch).is_err());
        tuned(recipe.clone()).resume(&again, &mut Watch::default()).unwrap();
        assert_eq!(weights(&again, "last"), new);
        assert_eq!(checkpoint(&again), checkpoint(&out));

        let message = |recipe: TrainingRecipe, out: &str| {
            let out = folder.path().join(out);
            let error = tuned(recipe).train(&out, &mut Watch::default()).unwrap_err();
            assert!(!out.exists(), "a refused run leaves something behind");
            error.to_string()
        };
        let text = message(recipe.clone().with_head(HeadStart::Kept), "kept");
        assert!(text.starts_with("training.head: head.bias has shape [4]"), "{text}");
        let text = message(recipe.clone().with_freeze(vec!["units.7".into()]), "seven");
        assert!(text.starts_with("training.freeze: `units.7` matches no parameter"), "{text}");
        let all = ["stem", "units", "head"].map(str::to_owned).to_vec();
        let text = message(recipe.clone().with_freeze(all), "all");
        assert!(text.contains("leaves no parameter to train"), "{text}");
        let text = message(recipe.clone().with_start(None), "none");
        assert!(text.starts_with("training.head: "), "{text}");
    }
}

#[test]
fn data_that_cannot_be_meant_is_refused_and_a_broken_image_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let message = |result: Result<TrainingData>| result.err().unwrap().to_string();
    let options = SplitOptions::default();
    let test = || Rows::new(20, 0, 4);
    let data = TrainingData::split(Rows::new(80, 0, 4), options).unwrap();
    let text = message(data.clone().with_test(test(), 3));
    assert!(text.contains("20 of 20 test images are also among the training images"), "{text}");
    let text = message(data.clone().with_test(Rows::new(20, 500, 3), 0));
    assert!(text.contains("(channels, size, classes)"), "{text}");
    let text = message(TrainingData::split(test(), options.with_validation(0.9)));
    assert!(text.contains("leaves no image"), "{text}");
    let broken = Rows { broken: Some(17), ..Rows::new(80, 0, 4) };
    let text = message(TrainingData::split(broken, options));
    assert!(text.contains("image-17.png: broken"), "{text}");

    let misfit = Trainer::new(own(&config(3), 1), data).with_settings(settings(1));
    let text = misfit.train(&out, &mut Watch::default()).unwrap_err().to_string();
    assert!(text.contains("the network expects"), "{text}");

    // One that breaks after the run has begun: a checksum of its own hides it from the checks.
    struct Hidden(Rows, std::sync::atomic::AtomicUsize);
    impl ImageSource for Hidden {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn channels(&self) -> usize {
            self.0.channels()
        }
        fn size(&self) -> [usize; 2] {
            self.0.size()
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn label(&self, index: usize) -> usize {
            self.0.label(index)
        }
        fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
            let reads = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let path = format!("image-{index}.png");
            match reads {
                0..300 => self.0.read(index, into),
                _ => Err(palinode::Error::format(path, "gone").into()),
            }
        }
    }
    let hidden = Hidden(Rows::new(80, 0, 4), 0.into());
    let data = TrainingData::split(hidden, options).unwrap();
    let gone = Trainer::new(own(&config(4), 1), data).with_settings(settings(9));
    let text = gone.train(&out, &mut Watch::default()).unwrap_err().to_string();
    assert!(text.contains("gone"), "{text}");
    assert!(out.join("checkpoints/latest.safetensors").is_file());
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
