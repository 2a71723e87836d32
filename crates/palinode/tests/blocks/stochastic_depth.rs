//! Stochastic depth: blocks that are left out.

use crate::case::{Cast, parameters};
use crate::support::{module_gradients, relative, values};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use palinode::Activation;
use palinode::network::{NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use palinode::training::{OptimizerRecipe, Sgd, cross_entropy};

#[test]
fn stochastic_depth_is_the_same_in_every_mode_and_an_average_in_inference() {
    let device = Device::flex().autodiff();
    let build = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 5);
        (config.blocks, config.widths, config.survival) = ([3, 3, 3], [4, 8, 8], 0.3);
        config.init(1, mode, &device).unwrap()
    };
    let images = Generator::new(2, Purpose::Input).normal([4, 1, 8, 8], 1.0, &device);
    let run = |mode, step| {
        let network = build(mode);
        let logits = network.forward(images.clone(), Phase::Training { seed: 1, step }).unwrap();
        let gradients = logits.clone().powi_scalar(2).sum().backward();
        (values(logits), module_gradients(&network, &gradients))
    };
    let (first, second) = (run(Differentiation::Stored, 0), run(Differentiation::Stored, 1));
    assert_ne!(first.0, second.0, "two steps drop the same blocks");
    assert!(first.1.iter().filter(|&&g| g == 0.0).count() > 50, "nothing was dropped");
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let found = run(mode, 0);
        assert!(relative(&found.1, &first.1) < 1e-4, "{mode:?}");
    }
}

/// A block that was left out has the gradient zero in every mode: momentum and decay go on alike.
#[test]
fn stochastic_depth_trains_alike_in_every_mode() {
    let device = Device::flex().autodiff();
    let train = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 4);
        (config.blocks, config.widths, config.survival) = ([2, 2, 2], [4, 4, 4], 0.4);
        config.activation = Activation::Tanh;
        let mut network = config.init(1, mode, &device).unwrap().map(&mut Cast(DType::F64));
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
        parameters(&network)
    };
    let stored = train(Differentiation::Stored);
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let error = relative(&train(mode), &stored);
        assert!(error < 1e-11, "{mode:?}: {error:e}");
    }
}
