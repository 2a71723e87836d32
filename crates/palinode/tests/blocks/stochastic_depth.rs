//! Stochastic depth: blocks that are dropped in a training step.

use crate::support::{module_gradients, relative, values};
use burn::tensor::Device;
use palinode::network::{NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;

#[test]
fn stochastic_depth_is_the_same_in_every_mode() {
    let device = Device::flex().autodiff();
    let build = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 5);
        config = config.with_units([3, 3, 3], [4, 8, 8]);
        config.survival = 0.3;
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
