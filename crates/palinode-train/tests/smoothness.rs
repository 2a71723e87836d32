//! Weight smoothness: values, gradients in f64 against differences of the value, steps by hand.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::network::weights::Names;
use palinode::network::{Network, NetworkConfig, Variant};
use palinode::random::{Generator, Purpose};
use palinode_train::recipe::{OptimizerRecipe, SmoothnessKind, SmoothnessRecipe};
use palinode_train::train::{NetworkOptimizer, ParameterGradients, Smoothness};
use support::values;

const MODELS: [(&str, Variant); 6] = [
    ("hamiltonian", Variant::Plain),
    ("hamiltonian", Variant::Inception),
    ("hamiltonian-single", Variant::Plain),
    ("midpoint", Variant::Plain),
    ("leapfrog", Variant::Plain),
    ("revnet-38", Variant::Plain),
];

fn network(model: &str, variant: Variant) -> Network {
    let config = NetworkConfig::named(model).unwrap().with_variant(variant);
    let mut config = config.for_data(1, [8, 8], 3);
    config = config.with_units([3, 4, 2], [8, 8, 16]);
    config.init(5, config.usual_mode(), &Device::flex().autodiff()).unwrap()
}

/// Random weights of the network's slots, in f64.
fn weights(network: &Network, seed: u64) -> Vec<Tensor<1>> {
    let mut generator = Generator::new(seed, Purpose::Input);
    let slots = Names::of(network).slots;
    let lengths = slots.iter().map(|slot| slot.shape.iter().product::<usize>());
    lengths
        .map(|length| generator.normal([length], 1.0, &Device::flex()).cast(DType::F64))
        .collect()
}

fn zeros(like: &[Tensor<1>]) -> Vec<Option<Tensor<1>>> {
    like.iter().map(|weights| Some(weights.zeros_like())).collect()
}

fn dot(a: &[Option<Tensor<1>>], b: &[Tensor<1>]) -> f64 {
    let pairs = a.iter().flatten().zip(b);
    pairs.map(|(a, b)| (a.clone() * b.clone()).sum().into_scalar::<f64>()).sum()
}

/// The penalty is quadratic, so a central difference is exact.
#[test]
fn gradients_are_the_derivatives_of_the_penalty() {
    for (model, variant) in MODELS {
        let network = network(model, variant);
        for kind in [SmoothnessKind::Depth, SmoothnessKind::Step] {
            for biases in [false, true] {
                let recipe = SmoothnessRecipe::default()
                    .with_kind(kind)
                    .with_strength(0.3)
                    .with_biases(biases);
                let mut smoothness = of(&network, recipe);
                let (here, along) = (weights(&network, 1), weights(&network, 2));
                // Something to have moved from.
                smoothness.add_gradient(&weights(&network, 3), &mut zeros(&here));
                let at = |amount: f64| -> f64 {
                    let moved: Vec<_> = here
                        .iter()
                        .zip(&along)
                        .map(|(w, d)| w.clone() + d.clone() * amount)
                        .collect();
                    smoothness.value(&moved)
                };
                let expected = (at(0.5) - at(-0.5)) / 1.0;
                let mut gradients = zeros(&here);
                let mut smoothness = smoothness;
                smoothness.add_gradient(&here, &mut gradients);
                let found = dot(&gradients, &along);
                let error = (found - expected).abs() / expected.abs();
                assert!(error < 1e-11, "{model} {kind:?}: {found} against {expected}");
            }
        }
    }
}

fn of(network: &Network, recipe: SmoothnessRecipe) -> Smoothness {
    Smoothness::of(recipe, network)
}

/// By the definition, from the weight file's stacked arrays: 1/2h Σ_j ‖θ_{j+1} − θ_j‖² in each unit.
#[test]
fn depth_is_the_sum_over_neighbours_in_each_unit() {
    let network = network("hamiltonian", Variant::Plain);
    let recipe = SmoothnessRecipe::default().with_kind(SmoothnessKind::Depth).with_strength(1.0);
    struct Flat(Vec<Tensor<1>>);
    impl ModuleVisitor for Flat {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().inner().cast(DType::F64).reshape([-1]));
        }
    }
    let mut flat = Flat(Vec::new());
    network.visit(&mut flat);
    let found = of(&network, recipe).value(&flat.0);
    let arrays = palinode::network::weights::collect(&network);
    let mut expected = 0.0;
    for unit in 0..3 {
        let kernel = &arrays[&format!("units.{unit}.kernel")];
        let block = kernel.values.len() / kernel.shape[0];
        for pair in kernel.values.chunks(block).collect::<Vec<_>>().windows(2) {
            let differences =
                pair[1].iter().zip(pair[0]).map(|(a, b)| f64::from(*a) - f64::from(*b));
            expected += differences.map(|d| d * d).sum::<f64>() / (2.0 * 0.1);
        }
    }
    assert!((found - expected).abs() < 1e-10 * expected, "{found} against {expected}");
}

/// W₀, then W₁ = W₀ − η·1 by a loss whose gradient is 1, then W₂ = W₁ − η(1 + 2λ(W₁ − W₀)), momentum 0.
#[test]
fn smoothness_across_steps_sees_the_weights_before_the_previous_step() {
    let recipe = OptimizerRecipe::default().with_momentum(0.0).with_weight_decay(0.0);
    let penalty = SmoothnessRecipe::default().with_kind(SmoothnessKind::Step).with_strength(2.0);
    let mut network = network("leapfrog", Variant::Plain);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network).with_smoothness(penalty, &network);
    let first = |network: &Network| values(network.stem.weight.val())[0];
    let mut seen = vec![first(&network)];
    for _ in 0..3 {
        let loss = network.stem.weight.val().sum();
        let gradients = ParameterGradients::take(&network, &mut loss.backward());
        (network, _) = optimizer.step(network, gradients, 0.1).unwrap();
        seen.push(first(&network));
    }
    let second = seen[1] - 0.1 * (1.0 + 4.0 * (seen[1] - seen[0]));
    let third = second - 0.1 * (1.0 + 4.0 * (second - seen[1]));
    for (found, expected) in [(seen[1], seen[0] - 0.1), (seen[2], second), (seen[3], third)] {
        assert!((found - expected).abs() < 1e-6, "{found} against {expected}: {seen:?}");
    }
}
