//! Exact parameter counts, weight files, whole-network gradients, classification.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::Activation;
use palinode::Context;
use palinode::network::weights::{collect, collect_gradients, replace};
use palinode::network::{
    DataInfo, Layout, Network, NetworkConfig, Phase, Variant, WeightFile, count, load_arrays,
};
use palinode::pass::Pass;
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, Effects, Residual};
use palinode::reversible::Differentiation;
use support::cross_entropy;

fn total(model: &str, layout: Layout, classes: usize) -> usize {
    let config = NetworkConfig::named(model).unwrap().with_layout(layout);
    let config = config.for_data(3, [32, 32], classes);
    count(&config.init(0, Differentiation::Reversible, &Device::flex()).unwrap()).total
}

#[test]
fn parameter_counts_are_exact() {
    let (report, paper) = (Layout::Report, Layout::Paper);
    assert_eq!(total("hamiltonian-218", report, 10), 1_751_882);
    assert_eq!(total("hamiltonian-74", paper, 10), 429_690);
    assert_eq!(total("hamiltonian-74", paper, 100), 439_860);
    assert_eq!(total("hamiltonian-218", paper, 10), 1_683_034);
    assert_eq!(total("hamiltonian-218", paper, 100), 1_694_644);
    for model in ["midpoint-26", "leapfrog-26"] {
        assert_eq!(total(model, paper, 10), 535_258);
        assert_eq!(total(model, report, 10), 642_122);
    }
    for model in ["midpoint-62", "leapfrog-62"] {
        assert_eq!(total(model, paper, 10), 1_801_738);
        assert_eq!(total(model, report, 10), 1_943_626);
    }
    assert_eq!(total("hamiltonian-74", report, 10), 483_562);
}

fn variant(model: &str, variant: Variant, change: impl Fn(&mut NetworkConfig)) -> usize {
    let mut config = NetworkConfig::named(model).unwrap().with_variant(variant);
    change(&mut config);
    let mode = config.usual_mode();
    count(&config.init(0, mode, &Device::flex()).unwrap()).total
}

#[test]
fn parameter_counts_of_variants_are_exact() {
    let same = |_: &mut NetworkConfig| ();
    assert_eq!(variant("hamiltonian-218", Variant::Plain, same), 1_751_882);
    assert_eq!(variant("hamiltonian-218", Variant::Regularized, same), 1_751_946);
    assert_eq!(variant("hamiltonian-218", Variant::Inception, same), 458_682);
    assert_eq!(variant("hamiltonian-218", Variant::InceptionLarge, same), 1_812_458);
    // A batch norm with two vectors in place of each bias.
    let normed = |classes| {
        move |config: &mut NetworkConfig| {
            (config.layout, config.block_norm, config.classes) = (Layout::Paper, true, classes);
        }
    };
    assert_eq!(variant("hamiltonian-74", Variant::Plain, normed(10)), 432_010);
    assert_eq!(variant("hamiltonian-74", Variant::Plain, normed(100)), 442_180);
    assert_eq!(variant("hamiltonian-218", Variant::Plain, normed(10)), 1_690_890);
    assert_eq!(variant("hamiltonian-218", Variant::Plain, normed(100)), 1_702_500);
}

/// Published counts: ResNet 0.46/0.47, 1.73/1.73 and 19.4 M, RevNet 0.46/0.48 and 1.73/1.74 M,
/// ResNeXt-29 (8×64d) 34.4 M.
#[test]
fn parameter_counts_of_baselines_are_exact() {
    let classes = |classes| move |config: &mut NetworkConfig| config.classes = classes;
    for (model, ten, hundred) in [
        ("resnet-32", 464_154, 470_004),
        ("resnet-110", 1_727_962, 1_733_812),
        ("revnet-38", 464_890, 475_060),
        ("revnet-110", 1_729_194, 1_740_804),
    ] {
        assert_eq!(variant(model, Variant::Plain, classes(10)), ten, "{model}");
        assert_eq!(variant(model, Variant::Plain, classes(100)), hundred, "{model}");
    }
    assert_eq!(variant("resnet-1202", Variant::Plain, classes(10)), 19_421_274);
    // The authors' code is post-activated and has 34,426,698 parameters: a batch norm follows the last
    // convolution of each block and each shortcut, instead of preceding the first one. It has twice as
    // many parameters there.
    assert_eq!(variant("resnext-29", Variant::Plain, classes(10)), 34_423_114);
}

#[test]
fn model_names_give_the_number_of_layers() {
    for (model, layers) in [
        ("hamiltonian-74", 74),
        ("hamiltonian-218", 218),
        ("hamiltonian-1202", 1202),
        ("midpoint-26", 26),
        ("midpoint-62", 62),
        ("leapfrog-26", 26),
        ("leapfrog-62", 62),
        ("resnet-32", 32),
        ("resnet-110", 110),
        ("resnet-1202", 1202),
        ("revnet-38", 38),
        ("revnet-110", 110),
        ("resnext-29", 29),
    ] {
        assert_eq!(NetworkConfig::named(model).unwrap().layers(), layers, "{model}");
    }
}

fn small(model: &str, layout: Layout) -> NetworkConfig {
    let mut config = NetworkConfig::named(model).unwrap().with_layout(layout);
    config = config.with_units([3, 2, 2], [4, 8, 12]);
    config.for_data(1, [16, 16], 5)
}

const FREE: [&str; 5] = ["hamiltonian", "hamiltonian-single", "midpoint", "leapfrog", "coupling"];

#[test]
fn whole_networks_have_the_same_gradients_in_every_mode() {
    let device = Device::flex().autodiff();
    for model in FREE {
        for layout in [Layout::Report, Layout::Paper] {
            // With ReLU and zero biases some pre-activations are exactly 0, and an error of one bit in
            // the reconstruction changes their sign. A smooth σ avoids this.
            let config = small(model, layout).with_activation(Activation::Tanh);
            let images: Tensor<4> =
                Generator::new(1, Purpose::Input).normal([3, 1, 16, 16], 1.0, &device);
            let labels = Tensor::from_data([0, 3, 4], &device);
            let gradients = |mode| {
                let network = config.init(9, mode, &device).unwrap();
                let logits = network.forward(images.clone(), Phase::BatchStatistics).unwrap();
                let gradients = cross_entropy(logits, labels.clone()).backward();
                collect_gradients(&network, &gradients)
            };
            let stored = gradients(Differentiation::Stored);
            assert!(!stored.is_empty());
            for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
                for (name, array) in gradients(mode) {
                    let as_f64 =
                        |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                    let truth = &stored[&name];
                    assert_eq!(array.shape, truth.shape);
                    let error = support::relative(&as_f64(&array.values), &as_f64(&truth.values));
                    // The kernels' F has an error of 2e-6 (Winograd), that of the stored mode a smaller
                    // one. All schemes but coupling multiply the error by h = 0.1.
                    let bound = if model == "coupling" { 2e-5 } else { 1e-5 };
                    assert!(error < bound, "{model} {layout:?} {mode:?} {name}: {error:e}");
                }
            }
        }
    }
}

/// Converts every parameter to f64 and makes it a leaf.
struct InF64;

impl ModuleMapper for InF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| weight.inner().cast(DType::F64).autodiff().require_grad())
    }
}

#[test]
fn the_kernels_of_a_whole_network_agree_with_burn_in_f64() {
    let device = Device::flex().autodiff();
    for model in ["hamiltonian", "leapfrog"] {
        for (layout, norm) in
            [(Layout::Report, false), (Layout::Report, true), (Layout::Paper, true)]
        {
            let mut config = small(model, layout).with_activation(Activation::Tanh);
            (config.size, config.stem.norm, config.channels) = ([22, 18], norm, 3);
            let network = config.init(9, Differentiation::Stored, &device).unwrap();
            let images: Tensor<4> =
                Generator::new(1, Purpose::Input).normal([3, 3, 22, 18], 1.0, &device);
            let gradients = |network: Network, images: Tensor<4>| {
                let labels = Tensor::from_data([0, 3, 4], &device);
                let logits = network.forward(images, Phase::BatchStatistics).unwrap();
                let loss = cross_entropy(logits, labels);
                collect_gradients(&network, &loss.backward())
            };
            let exact = gradients(network.clone().map(&mut InF64), images.clone().cast(DType::F64));
            for (name, array) in gradients(network, images) {
                let truth: Vec<f64> = exact[&name].values.iter().map(|&v| f64::from(v)).collect();
                let found: Vec<f64> = array.values.iter().map(|&v| f64::from(v)).collect();
                if norm && name == "stem.bias" {
                    // The norm subtracts the mean, so the loss does not depend on this bias.
                    assert!(found.iter().all(|value| value.abs() < 1e-6), "{name}: {found:?}");
                    continue;
                }
                let error = support::relative(&found, &truth);
                assert!(error < 1e-5, "{model} {layout:?} norm {norm} {name}: {error:e}");
            }
        }
    }
}

#[test]
fn arrays_have_the_documented_names_and_shapes() {
    let shapes = |model, layout| {
        let network =
            small(model, layout).init(0, Differentiation::Stored, &Device::flex()).unwrap();
        let named =
            |(name, array): (String, palinode::network::weights::Array)| (name, array.shape);
        collect(&network).into_iter().map(named).collect::<std::collections::BTreeMap<_, _>>()
    };
    let report = shapes("hamiltonian", Layout::Report);
    assert_eq!(report["stem.weight"], [4, 1, 3, 3]);
    assert_eq!(report["stem.bias"], [4]);
    assert_eq!(report["units.0.kernel"], [3, 2, 2, 2, 3, 3]);
    assert_eq!(report["units.2.bias"], [2, 2, 6]);
    assert_eq!(report["head.weight"], [5, 48]);
    assert_eq!(report.len(), 4 + 6);
    let paper = shapes("hamiltonian", Layout::Paper);
    assert!(!paper.contains_key("stem.bias"));
    assert_eq!(paper["units.0.kernel"], [4, 2, 2, 2, 3, 3]);
    assert_eq!(paper["units.0.input_bias"], [7, 2]);
    assert_eq!(paper["units.1.input_bias"], [2, 2, 4]);
    assert_eq!(paper["units.2.input_bias"], [1, 2, 6]);
    assert_eq!(paper["stem_norm.running_var"], [4]);
    assert_eq!(paper["head_norm.weight"], [12]);
    let midpoint = shapes("midpoint", Layout::Report);
    assert_eq!(midpoint["units.1.kernel"], [2, 8, 8, 3, 3]);
    let single = shapes("hamiltonian-single", Layout::Report);
    assert_eq!(single["units.1.kernel"], [2, 4, 4, 3, 3]);
}

fn info(config: &NetworkConfig) -> DataInfo {
    DataInfo {
        channels: config.channels,
        size: config.size,
        mean: vec![0.3; config.channels],
        std: vec![0.25; config.channels],
        classes: (0..config.classes).map(|class| format!("class {class}")).collect(),
        pixel_mean: None,
        padding: 2,
        background: None,
    }
}

#[test]
fn a_weight_file_rebuilds_the_network_and_classifies_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for model in FREE {
        for layout in [Layout::Report, Layout::Paper] {
            let config = small(model, layout);
            let network = config.init(4, Differentiation::Reversible, &Device::flex()).unwrap();
            WeightFile::of(&network, &info(&config)).save(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();

            let file = WeightFile::load(&path).unwrap();
            assert_eq!(file.config, config);
            let again = file.network(Differentiation::Stored, &Device::flex()).unwrap();
            let image: Tensor<4> =
                Generator::new(1, Purpose::Input).normal([1, 1, 16, 16], 1.0, &Device::flex());
            let logits = |network: &Network| {
                support::values(network.forward(image.clone(), Phase::Inference).unwrap())
            };
            assert_eq!(logits(&network), logits(&again), "{model} {layout:?}");

            WeightFile::of(&again, &file.data).save(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "same content, other bytes");
        }
    }
}

/// −K'σ(Kx + b): the arrays of a built-in residual, with another meaning.
#[derive(Module, Debug)]
struct Negative {
    inner: BuiltIn,
}

impl Residual for Negative {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.inner.forward(x, pass).neg()
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn a_file_of_a_residual_of_ones_own_is_no_file_of_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    let (config, device) = (small("hamiltonian", Layout::Report), Device::flex());
    let make = |mode, seed| {
        let built_in = config.init(seed, mode, &device).unwrap();
        let mut inner =
            built_in.units.iter().flat_map(|unit| unit.residuals.clone()).collect::<Vec<_>>();
        inner.reverse();
        config.init_with(seed, mode, &device, |_, _, _| Negative { inner: inner.pop().unwrap() })
    };
    let network = make(Differentiation::Stored, 7).unwrap();
    let mut file = WeightFile::of(&network, &info(&config));
    // With the very names of the built-in one.
    let plain = |name: &String| name.replace(".inner.", ".");
    file.arrays = file.arrays.iter().map(|(name, array)| (plain(name), array.clone())).collect();
    file.save(&path).unwrap();
    let read = WeightFile::load(&path).unwrap();
    let message = read.network(Differentiation::Stored, &device).unwrap_err().to_string();
    assert!(message.contains("own.safetensors: residual: the network's residual is"), "{message}");
    assert!(message.contains("Negative, which is not built in"), "{message}");

    WeightFile::of(&network, &info(&config)).save(&path).unwrap();
    let read = WeightFile::load(&path).unwrap();
    let mut other = make(Differentiation::Stored, 8).unwrap().units.into_iter();
    let mut residuals: Vec<Negative> = other.by_ref().flat_map(|unit| unit.residuals).collect();
    residuals.reverse();
    let again =
        read.network_with(Differentiation::Stored, &device, |_, _, _| residuals.pop().unwrap());
    let image: Tensor<4> = Generator::new(1, Purpose::Input).normal([1, 1, 16, 16], 1.0, &device);
    let logits = |network: &Network<Negative>| {
        support::values(network.forward(image.clone(), Phase::Inference).unwrap())
    };
    assert_eq!(logits(&network), logits(&again.unwrap()));
    let refused = read.network_with(Differentiation::Stored, &device, |site, generator, device| {
        palinode::residual::SymmetricConfig::new(site.channels).init(generator, device)
    });
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("residual is Negative, expected Symmetric"), "{message}");
    let built_in = config.init(0, Differentiation::Stored, &device).unwrap();
    let file = WeightFile::of(&built_in, &info(&config));
    let mut residuals = built_in.units.iter().flat_map(|unit| unit.residuals.clone());
    file.network_with(Differentiation::Stored, &device, |_, _, _| residuals.next().unwrap())
        .unwrap();
}

#[test]
fn arrays_of_another_network_are_refused_by_name() {
    let config = small("hamiltonian", Layout::Report);
    let network = config.init(0, Differentiation::Stored, &Device::flex()).unwrap();
    let arrays = collect(&network);
    let refuse = |arrays| replace(network.clone(), arrays).unwrap_err().to_string();
    let mut missing = arrays.clone();
    missing.remove("units.1.bias");
    assert!(refuse(&missing).contains("`units.1.bias`"));
    let mut wrong = arrays.clone();
    if let Some(array) = wrong.get_mut("head.bias") {
        array.shape = vec![1, 5];
    }
    assert!(refuse(&wrong).contains("[1, 5], expected [5]"));
    let mut foreign = arrays;
    let bias = foreign["head.bias"].clone();
    foreign.insert("tail.bias".into(), bias);
    assert!(refuse(&foreign).contains("`tail.bias`"));
}

#[test]
fn broken_weight_files_give_an_error_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let config = small("midpoint", Layout::Report);
    let network = config.init(0, Differentiation::Stored, &Device::flex()).unwrap();
    WeightFile::of(&network, &info(&config)).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 4, 8, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let message = WeightFile::load(&path).unwrap_err().to_string();
        assert!(message.contains("w.safetensors"), "{message}");
    }
    std::fs::write(&path, b"\x02\0\0\0\0\0\0\0{}").unwrap();
    assert!(load_arrays(&path).is_ok(), "an empty safetensors file is well formed");
    assert!(WeightFile::load(&path).unwrap_err().to_string().contains("palinode.config"));
}

#[test]
fn batch_norm_follows_pytorch() {
    use palinode::network::BatchNorm;
    let device = Device::flex().autodiff();
    let norm = BatchNorm::new(1, 1e-5, &device);
    // Mean 2.5, biased variance 1.25, unbiased 5/3.
    let x = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &device);
    let y = support::values(
        norm.forward(x.clone(), &Pass::new(Phase::Training { seed: 0, step: 0 }, &Context::new())),
    );
    let expected = (1.0 - 2.5) / (1.25_f64 + 1e-5).sqrt();
    assert!((y[0] - expected).abs() < 1e-5);
    let running = |norm: &BatchNorm| {
        (
            support::values(norm.running_mean.value())[0],
            support::values(norm.running_var.value())[0],
        )
    };
    let (mean, variance) = running(&norm);
    assert!((mean - 0.25).abs() < 1e-6 && (variance - (0.9 + 0.1 * 5.0 / 3.0)).abs() < 1e-6);
    norm.forward(x.clone(), &Pass::new(Phase::BatchStatistics, &Context::new()));
    norm.forward(x.clone(), &Pass::new(Phase::Inference, &Context::new()));
    assert_eq!(running(&norm), (mean, variance), "only training updates");
    let y = support::values(norm.forward(x, &Pass::new(Phase::Inference, &Context::new())));
    assert!((y[3] - (4.0 - mean) / (variance + 1e-5).sqrt()).abs() < 1e-5);
}
