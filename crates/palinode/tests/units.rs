//! Networks of any number of units, and parameter counts from shapes alone.
#![allow(clippy::unwrap_used)]

mod support;

use burn::tensor::{Device, Tensor};
use palinode::network::weights::collect;
use palinode::network::{
    DataInfo, Layout, NAMED, Network, NetworkConfig, Phase, TransitionKind, Variant, WeightFile,
    count,
};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use support::{module_gradients, relative, values};

fn network_of(units: usize, layout: Layout, scheme: &str) -> NetworkConfig {
    let mut config = NetworkConfig::named(scheme).unwrap().with_layout(layout);
    let blocks: Vec<usize> = (0..units).map(|unit| 1 + unit % 2).collect();
    let widths: Vec<usize> = (0..units).map(|unit| 4 + 2 * (unit / 2)).collect();
    config = config.with_units(blocks, widths).for_data(1, [8, 8], 3);
    // The first two transitions pool; the others only widen.
    config.transitions = (1..units)
        .map(|unit| if unit <= 2 { TransitionKind::Pool } else { TransitionKind::Widen })
        .collect();
    config
}

#[test]
fn networks_of_1_to_64_units_have_the_same_gradients_in_every_mode() {
    let device = Device::flex().autodiff();
    for (units, layout, scheme) in [
        (1, Layout::Report, "hamiltonian"),
        (2, Layout::Paper, "midpoint"),
        (5, Layout::Report, "leapfrog"),
        (7, Layout::Paper, "hamiltonian"),
        (64, Layout::Report, "hamiltonian"),
    ] {
        let config = network_of(units, layout, scheme).with_activation(palinode::Activation::Tanh);
        let images: Tensor<4> =
            Generator::new(1, Purpose::Input).normal([2, 1, 8, 8], 1.0, &device);
        let gradients = |mode| {
            let network = config.init(9, mode, &device).unwrap();
            assert_eq!(network.units.len(), units);
            let logits = network.forward(images.clone(), Phase::BatchStatistics).unwrap();
            let gradients = logits.powi_scalar(2).sum().backward();
            module_gradients(&network, &gradients)
        };
        let stored = gradients(Differentiation::Stored);
        for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
            let error = relative(&gradients(mode), &stored);
            assert!(error < 1e-5, "{units} units, {layout:?}, {scheme}, {mode:?}: {error:e}");
        }
    }
}

#[test]
fn a_weight_file_holds_any_number_of_units() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let config = network_of(5, Layout::Report, "hamiltonian");
    let network = config.init(2, Differentiation::Reversible, &Device::flex()).unwrap();
    let data = DataInfo {
        channels: 1,
        size: [8, 8],
        mean: vec![0.5],
        std: vec![0.5],
        pixel_mean: None,
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        padding: 0,
        background: None,
    };
    WeightFile::of(&network, &data).save(&path).unwrap();
    let again = WeightFile::load(&path).unwrap();
    let again = again.network(Differentiation::Stored, &Device::flex()).unwrap();
    assert_eq!(collect(&network), collect(&again));
    assert_eq!(collect(&network)["units.4.kernel"].shape, [1, 2, 4, 4, 3, 3]);
    let images = Tensor::<4>::ones([1, 1, 8, 8], &Device::flex());
    let logits =
        |network: &Network| values(network.forward(images.clone(), Phase::Inference).unwrap());
    assert_eq!(logits(&network), logits(&again));
}

#[test]
fn invalid_configurations_are_refused_by_field() {
    let refused = |change: &dyn Fn(&mut NetworkConfig), word: &str| {
        let mut config = network_of(3, Layout::Report, "hamiltonian");
        change(&mut config);
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(word), "{word} is not in: {message}");
    };
    refused(&|c| c.blocks = vec![], "model.blocks");
    refused(&|c| c.blocks.push(1), "model.blocks");
    refused(&|c| (c.blocks, c.widths) = (vec![1; 65], vec![4; 65]), "1 to 64");
    refused(&|c| c.widths = vec![4, 8, 6], "never fall");
    refused(&|c| c.widths = vec![0, 8, 8], "positive");
    refused(&|c| c.transitions = vec![TransitionKind::Pool], "model.transitions");
    refused(&|c| c.transitions = vec![TransitionKind::Strided; 2], "strided");
    refused(&|c| (c.size, c.transitions) = ([4, 4], Vec::new()), "1×1");
}

#[test]
fn parameter_counts_from_shapes_are_those_of_the_built_network() {
    let check = |config: &NetworkConfig| {
        let network = config.init(0, config.usual_mode(), &Device::flex()).unwrap();
        assert_eq!(config.parameter_count(), count(&network), "{config:?}");
    };
    for name in NAMED.iter().map(|model| model.name).filter(|name| !name.contains("1202")) {
        let config = NetworkConfig::named(name).unwrap();
        let blocks: Vec<usize> = config.blocks.iter().map(|&blocks| blocks.min(3)).collect();
        let widths = config.widths.clone();
        let config = config.with_units(blocks, widths);
        check(&config);
        for variant in [Variant::Regularized, Variant::Inception] {
            if config.transition == TransitionKind::Pool {
                for norm in [false, true] {
                    let mut config = config.clone().with_variant(variant);
                    config.block_norm = norm;
                    check(&config);
                    check(&config.with_layout(Layout::Paper));
                }
            }
        }
    }
    let mut config = NetworkConfig::named("hamiltonian-single").unwrap();
    config.block_norm = true;
    check(&config.with_units([1, 2, 3], [4, 8, 8]));
    check(&network_of(7, Layout::Paper, "hamiltonian"));
    check(&network_of(1, Layout::Report, "coupling").with_units([0], [6]));
    let total = |name: &str| NetworkConfig::named(name).unwrap().parameter_count().total;
    assert_eq!(total("hamiltonian-218"), 1_751_882);
    assert_eq!(total("resnet-1202"), 19_421_274);
}

#[test]
fn a_network_larger_than_memory_is_refused_with_the_sizes() {
    let mut config = NetworkConfig::named("hamiltonian").unwrap();
    config = config.with_units([50_000; 3], [2048; 3]);
    let refused = config.init(0, Differentiation::Reversible, &Device::flex());
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("weights") && message.contains("available"), "{message}");
}
