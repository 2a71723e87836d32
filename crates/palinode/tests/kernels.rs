//! The choice of kernels for a network's units.
#![allow(clippy::unwrap_used)]

mod support;

use burn::tensor::{Device, Int, Tensor};
use palinode::network::weights::collect_gradients;
use palinode::network::{Network, NetworkConfig, Phase, Variant};
use palinode::random::{Generator, Purpose};
use palinode::reversible::{Algorithm, Differentiation, Precision};
use palinode::{Context, ContextBuilder};
use support::cross_entropy;

fn small(model: &str) -> NetworkConfig {
    let config = NetworkConfig::named(model).unwrap().for_data(3, [16, 16], 10);
    config.with_units([2; 3], [32, 64, 112])
}

fn network(config: &NetworkConfig, mode: Differentiation) -> Network {
    config.init(3, mode, &Device::flex().autodiff()).unwrap()
}

/// All gradients of a loss, flattened.
fn gradients(chosen: ContextBuilder) -> Vec<f32> {
    let network = network(&small("hamiltonian-74"), Differentiation::Reversible);
    let network = network.with_context(&chosen.build().unwrap()).unwrap();
    let device = Device::flex().autodiff();
    let images = Generator::new(3, Purpose::Input).normal([4, 3, 16, 16], 1.0, &device);
    let labels = Tensor::<1, Int>::from_data([1_i64, 0, 9, 4], &device);
    let logits = network.forward(images, Phase::Training { seed: 0, step: 0 }).unwrap();
    let found = collect_gradients(&network, &cross_entropy(logits, labels).backward());
    found.into_values().flat_map(|array| array.values).collect()
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let norm = |numbers: Vec<f32>| numbers.iter().map(|x| x * x).sum::<f32>().sqrt();
    norm(a.iter().zip(b).map(|(a, b)| a - b).collect()) / norm(b.to_vec())
}

#[test]
fn every_choice_reaches_the_units() {
    let usual = gradients(Context::builder());
    let by = |algorithm| Context::builder().algorithm(Some(algorithm));
    assert_eq!(gradients(by(Algorithm::quickest([16, 16]))), usual);
    for algorithm in [Algorithm::Winograd2, Algorithm::Direct] {
        let found = gradients(by(algorithm));
        assert_ne!(found, usual, "{algorithm}");
        let error = distance(&found, &usual);
        assert!(error < 1e-5, "{algorithm}: {error:e}");
    }
    if Context::new().check(Precision::Bf16).is_ok() {
        let kernels = Context::builder().gradients(Precision::Bf16);
        let error = distance(&gradients(kernels), &usual);
        assert!((1e-4..0.03).contains(&error), "bf16: {error:e}");
    }
}

#[test]
fn a_choice_without_effect_is_refused() {
    let kernels = Context::builder().algorithm(Some(Algorithm::Direct));
    let refused = |config: &NetworkConfig, mode, chosen: ContextBuilder| {
        let context = chosen.build().unwrap();
        let error = network(config, mode).with_context(&context).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    let plain = small("hamiltonian-74");
    let stored = refused(&plain, Differentiation::Stored, kernels);
    assert!(stored.contains("training.algorithm") && stored.contains("`reversible`"), "{stored}");
    let inception = small("hamiltonian-218").with_variant(Variant::Inception);
    let bf16 = Context::builder().gradients(Precision::Bf16);
    if bf16.build().is_ok() {
        let inception = refused(&inception, Differentiation::Reversible, bf16);
        assert!(inception.contains("training.gradients"), "{inception}");
    } else {
        println!("skipped: bf16 on a network without effect (this machine has no bf16 products)");
    }
    assert_eq!(refused(&plain, Differentiation::Reversible, kernels), "");
    assert_eq!(refused(&plain, Differentiation::Stored, Context::builder()), "");
}
