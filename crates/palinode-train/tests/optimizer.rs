//! SGD against hand arithmetic.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::Activation;
use palinode::network::weights::{Array, Arrays, collect, replace};
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use palinode_train::recipe::{Decayed, OptimizerRecipe};
use palinode_train::train::{Sgd, cross_entropy};

/// A network of zero blocks whose weights are all `value`.
fn network(value: f32) -> Network {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 2);
    config = config.with_units([0, 0, 0], [2, 2, 2]);
    let network = config.init(0, Differentiation::Stored, &Device::flex().autodiff()).unwrap();
    let constant = |(name, array): (String, Array)| {
        let values = vec![value; array.values.len()];
        (name, Array { values, ..array })
    };
    let arrays: Arrays = collect(&network).into_iter().map(constant).collect();
    replace(network, &arrays).unwrap()
}

/// The loss Σ w over all parameters, whose gradient is 1 everywhere.
fn sum_of_weights(network: &Network) -> Tensor<1> {
    struct Sum(Option<Tensor<1>>);
    impl ModuleVisitor for Sum {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let part = param.val().sum();
            self.0 = Some(match self.0.take() {
                Some(sum) => sum + part,
                None => part,
            });
        }
    }
    let mut sum = Sum(None);
    network.visit(&mut sum);
    sum.0.unwrap()
}

fn step(network: Network, optimizer: &mut Sgd, rate: f64) -> Network {
    let mut gradients = sum_of_weights(&network).backward();
    optimizer.step(network, &mut gradients, rate)
}

#[test]
fn three_steps_by_hand() {
    let recipe = OptimizerRecipe {
        momentum: 0.9,
        weight_decay: 0.5,
        decayed: Decayed::Kernels,
        ..OptimizerRecipe::default()
    };
    let mut network = network(1.0);
    let mut optimizer = Sgd::new(&recipe, &network);
    // Kernels: g = 1 + 0.5w, v ← 0.9v + g, w ← w − 0.1v.
    //   w = 1      g = 1.5       v = 1.5         w = 0.85
    //   w = 0.85   g = 1.425     v = 2.775       w = 0.5725
    //   w = 0.5725 g = 1.28625   v = 3.78375     w = 0.194125
    // Biases: g = 1: v = 1, 1.9, 2.71; w = 0.9, 0.71, 0.439.
    let expected = [(0.85, 0.9), (0.5725, 0.71), (0.194_125, 0.439)];
    for (kernel, bias) in expected {
        network = step(network, &mut optimizer, 0.1);
        let arrays = collect(&network);
        for (name, array) in arrays {
            let wanted: f32 = if name.ends_with("weight") { kernel } else { bias };
            for value in array.values {
                assert!((value - wanted).abs() < 1e-6, "{name}: {value}, expected {wanted}");
            }
        }
    }
    let velocity = optimizer.arrays();
    assert!((velocity["stem.weight"].values[0] - 3.78375).abs() < 1e-5);
    assert!((velocity["head.bias"].values[0] - 2.71).abs() < 1e-5);
}

#[test]
fn a_restored_optimizer_goes_on_with_the_same_bits() {
    let recipe = OptimizerRecipe::default();
    let mut a = network(1.0);
    let mut first = Sgd::new(&recipe, &a);
    a = step(a, &mut first, 0.1);
    let mut b = replace(network(0.0), &collect(&a)).unwrap();
    let mut second = Sgd::new(&recipe, &b);
    second.restore(&first.arrays(), &first.previous_weights(), &Device::flex()).unwrap();
    a = step(a, &mut first, 0.1);
    b = step(b, &mut second, 0.1);
    assert_eq!(collect(&a), collect(&b));
    assert_eq!(first.arrays(), second.arrays());
    let mut missing = first.arrays();
    missing.remove("head.bias");
    assert!(
        second
            .restore(&missing, &Arrays::new(), &Device::flex())
            .unwrap_err()
            .to_string()
            .contains("head.bias")
    );
}

#[test]
fn decay_on_all_reaches_biases_and_clipping_bounds_the_whole_gradient() {
    let decay_all = OptimizerRecipe {
        weight_decay: 1.0,
        decayed: Decayed::All,
        momentum: 0.0,
        ..OptimizerRecipe::default()
    };
    let before = network(1.0);
    let mut optimizer = Sgd::new(&decay_all, &before);
    let after = collect(&step(before, &mut optimizer, 0.1));
    // g = 1 + 1·1 everywhere.
    assert!(after.values().flat_map(|a| &a.values).all(|w| (w - 0.8).abs() < 1e-6));

    let clipped =
        OptimizerRecipe { clip_norm: 2.0, weight_decay: 0.0, ..OptimizerRecipe::default() };
    let before = network(1.0);
    let mut optimizer = Sgd::new(&clipped, &before);
    let count: usize = collect(&before).values().map(|a| a.values.len()).sum();
    let after = collect(&step(before, &mut optimizer, 1.0));
    let moved: f64 = after
        .values()
        .flat_map(|a| &a.values)
        .map(|w| f64::from(1.0 - w).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!((moved - 2.0).abs() < 1e-4, "{count} gradients of 1, clipped to 2, moved {moved}");
}

/// A parameter that took no part in a step has the gradient zero, and decays; one that wants none stays.
#[test]
fn frozen_parameters_stay_and_unused_ones_decay() {
    for frozen in [false, true] {
        let mut before = network(1.0);
        before.stem.weight = before.stem.weight.set_require_grad(!frozen);
        let recipe = OptimizerRecipe { weight_decay: 0.5, ..OptimizerRecipe::default() };
        let mut optimizer = Sgd::new(&recipe, &before);
        // A loss of the head's bias alone.
        let mut gradients = before.head.bias.val().sum().backward();
        let after = collect(&optimizer.step(before, &mut gradients, 0.1));
        let expected = if frozen { 1.0 } else { 1.0 - 0.1 * 0.5 };
        assert!(after["stem.weight"].values.iter().all(|w| (w - expected).abs() < 1e-6));
        assert!(after["head.bias"].values.iter().all(|b| (b - 0.9).abs() < 1e-6));
    }
}

/// Casts every parameter to f64, a leaf of its own.
struct InF64;

impl ModuleMapper for InF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| weight.inner().cast(DType::F64).autodiff().require_grad())
    }
}

fn weights_of(network: &Network) -> Vec<f64> {
    struct Visitor(Vec<f64>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(support::values(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    network.visit(&mut visitor);
    visitor.0
}

/// A block that was left out has the gradient zero in every mode: momentum and decay go on alike.
#[test]
fn stochastic_depth_trains_alike_in_every_mode() {
    let device = Device::flex().autodiff();
    let train = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 4);
        config = config.with_units([2, 2, 2], [4, 4, 4]);
        config.survival = 0.4;
        config.activation = Activation::Tanh;
        let mut network = config.init(1, mode, &device).unwrap().map(&mut InF64);
        let recipe = OptimizerRecipe { weight_decay: 0.1, ..OptimizerRecipe::default() };
        let mut optimizer = Sgd::new(&recipe, &network);
        for step in 0..6 {
            let images: Tensor<4> = Generator::with_stream(2, Purpose::Input, step)
                .normal([4, 1, 8, 8], 1.0, &device)
                .cast(DType::F64);
            let labels = Tensor::from_ints([0, 1, 2, 3], &device);
            let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
            let mut gradients = cross_entropy(logits, labels).backward();
            network = optimizer.step(network, &mut gradients, 0.1);
        }
        weights_of(&network)
    };
    let stored = train(Differentiation::Stored);
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let error = support::relative(&train(mode), &stored);
        assert!(error < 1e-11, "{mode:?}: {error:e}");
    }
}
