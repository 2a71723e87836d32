//! Networks: every layout, variant and baseline.

use crate::device::device;
use crate::support::{cross_entropy, module_gradients, relative, sgd, step as update, values};
use burn::tensor::{Device, Int, Tensor};
use palinode::network::weights::{collect, replace};
use palinode::network::{Layout, Network, NetworkConfig, Phase, Variant};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use palinode::{Activation, Result};

/// The network of `config` on `device`, whose biases are not zero.
fn network(config: &NetworkConfig, mode: Differentiation, device: &Device) -> Result<Network> {
    let network = config.init(7, mode, &device.clone().autodiff())?;
    let mut arrays = collect(&network);
    let mut generator = Generator::new(9, Purpose::Weights);
    for array in arrays.values_mut() {
        let moved: Tensor<1> = generator.normal([array.values.len()], 0.02, &Device::flex());
        let moved = values(moved);
        array.values.iter_mut().zip(moved).for_each(|(value, by)| *value += by as f32);
    }
    replace(network, &arrays)
}

fn batch(config: &NetworkConfig, step: u64, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let [rows, columns] = config.size;
    let mut generator = Generator::with_stream(2, Purpose::Input, step);
    let images = generator.normal([4, config.channels, rows, columns], 1.0, device);
    (images, Tensor::from_ints([0, 1, 2, 0], device))
}

/// Logits and gradients of one step, and weights and running statistics after three.
fn results(config: &NetworkConfig, mode: Differentiation, device: &Device) -> [Vec<f64>; 3] {
    let mut network = network(config, mode, device).unwrap();
    let autodiff = device.clone().autodiff();
    let mut optimizer = sgd();
    let mut first = None;
    for step in 0..3 {
        let (images, labels) = batch(config, step, &autodiff);
        let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
        let gradients = cross_entropy(logits.clone(), labels).backward();
        first.get_or_insert_with(|| (values(logits), module_gradients(&network, &gradients)));
        network = update(&mut optimizer, network, gradients, 0.02);
    }
    let (logits, gradients) = first.unwrap();
    let weights = collect(&network).into_values().flat_map(|array| array.values);
    [logits, gradients, weights.map(f64::from).collect()]
}

/// Small networks of every kind, with a smooth activation.
fn configs() -> Vec<(String, NetworkConfig)> {
    let mut found = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(NetworkConfig) -> NetworkConfig| {
        let config = NetworkConfig::named(name).unwrap().for_data(3, [16, 16], 3);
        let mut config = change(config.with_units([2, 2, 2], [8, 16, 32]));
        config.activation = Activation::Tanh;
        config.validate().unwrap();
        found.push((format!("{name} {:?}", config.layout), config));
    };
    for name in ["hamiltonian", "hamiltonian-single", "midpoint", "leapfrog", "coupling"] {
        add(name, &|config| config);
        add(name, &|config| config.with_layout(Layout::Paper));
    }
    add("hamiltonian", &|config| config.with_variant(Variant::Regularized));
    add("hamiltonian", &|config| config.with_variant(Variant::Inception));
    add("hamiltonian", &|mut config| {
        (config.block_norm, config.block_dropout, config.survival) = (true, 0.1, 0.7);
        config
    });
    for name in ["resnet-32", "revnet-38"] {
        add(name, &|config| config);
    }
    add("resnext-29", &|mut config| {
        (config.bottleneck, config.groups) = (4, 2);
        config
    });
    found
}

#[test]
fn three_training_steps_of_every_network_agree_with_the_cpu() {
    let Some(device) = device() else { return };
    for (name, config) in configs() {
        for mode in Differentiation::ALL {
            if mode == Differentiation::Reversible && config.usual_mode() != mode {
                continue;
            }
            let (found, truth) =
                (results(&config, mode, &device), results(&config, mode, &Device::flex()));
            let pairs = ["logits", "gradients", "weights after three steps"]
                .iter()
                .zip(found.iter().zip(&truth));
            for (what, (found, truth)) in pairs {
                let error = relative(found, truth);
                assert!(error <= 1e-5, "{name} {mode:?}: {what} {error:e}");
            }
        }
    }
}

#[test]
fn weights_move_to_the_device_and_back_without_a_change() {
    let Some(device) = device() else { return };
    let config = &configs()[0].1;
    let here = network(config, Differentiation::Reversible, &Device::flex()).unwrap();
    let there = network(config, Differentiation::Reversible, &device).unwrap();
    let there = replace(there, &collect(&here)).unwrap();
    assert_eq!(collect(&here), collect(&there));
    let (x, _) = batch(config, 0, &Device::flex());
    let logits = |network: &Network, x: Tensor<4>| {
        values(network.forward(x.autodiff(), Phase::Inference).unwrap())
    };
    let (found, truth) = (logits(&there, x.clone().to_device(&device)), logits(&here, x));
    let error = relative(&found, &truth);
    assert!(error <= 1e-5, "{error:e}");
}
