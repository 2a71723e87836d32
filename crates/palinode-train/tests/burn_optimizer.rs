//! Burn's own optimisers on a network, as any Burn module: `GradientsParams`, `ModuleOptimizer`.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use palinode::network::weights::collect;
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use palinode_train::train::cross_entropy;

/// The parameters that want a gradient, and those that have none.
fn without_gradient(network: &Network, gradients: &GradientsParams) -> (usize, usize) {
    struct Visitor<'a>(&'a GradientsParams, usize, usize);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                self.1 += 1;
                self.2 += usize::from(self.0.get::<D>(param.id).is_none());
            }
        }
    }
    let mut visitor = Visitor(gradients, 0, 0);
    network.visit(&mut visitor);
    (visitor.1, visitor.2)
}

#[test]
fn every_parameter_has_its_gradient_in_every_mode() {
    let device = Device::flex().autodiff();
    let images: Tensor<4> = Generator::new(1, Purpose::Input).normal([4, 1, 16, 16], 1.0, &device);
    let labels = Tensor::from_ints([0, 1, 2, 3], &device);
    for model in ["hamiltonian", "leapfrog", "midpoint", "revnet-38"] {
        let mut config = NetworkConfig::named(model).unwrap().for_data(1, [16, 16], 4);
        config = config.with_units([2, 2, 2], [8, 8, 8]);
        let mut losses = Vec::new();
        for mode in Differentiation::ALL {
            let mut network = config.init(3, mode, &device).unwrap();
            let mut optimizer = AdamWConfig::new().init();
            let before = collect(&network);
            for step in 0..4 {
                let phase = Phase::Training { seed: 0, step };
                let logits = network.forward(images.clone(), phase).unwrap();
                let loss = cross_entropy(logits, labels.clone());
                losses.push(loss.clone().into_scalar::<f64>());
                let gradients = GradientsParams::from_grads(loss.backward(), &network);
                let (trained, missing) = without_gradient(&network, &gradients);
                assert!(trained > 8 && missing == 0, "{model} {mode:?}: {missing} of {trained}");
                network = optimizer.step(1e-2, network, gradients);
            }
            let after = collect(&network);
            for (name, array) in before.iter().filter(|(name, _)| name.ends_with("weight")) {
                assert_ne!(*array, after[name], "{model} {mode:?}: {name} was not updated");
            }
        }
        let (stored, others) = losses.split_at(4);
        assert!(stored[3] < stored[0], "{model} does not learn: {stored:?}");
        for (a, b) in others.iter().zip(stored.iter().cycle()) {
            assert!((a - b).abs() < 2e-2, "{model}: {losses:?}");
        }
    }
}
