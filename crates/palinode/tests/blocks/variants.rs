//! The report's variants of every scheme.

use crate::support::{module_gradients, relative};
use burn::tensor::Device;
use palinode::Activation;
use palinode::network::{NetworkConfig, Phase, Variant};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;

#[test]
fn variants_of_every_scheme_train_in_every_mode() {
    let device = Device::flex().autodiff();
    for model in ["hamiltonian", "hamiltonian-single", "midpoint", "leapfrog", "coupling"] {
        // Coupling has no small step, so without norms its state would grow too fast.
        let norms = if model == "coupling" { &[true][..] } else { &[false, true] };
        let single = model == "hamiltonian-single";
        for (variant, &normed) in
            Variant::ALL.into_iter().flat_map(|v| norms.iter().map(move |n| (v, n)))
        {
            let inception = matches!(variant, Variant::Inception | Variant::InceptionLarge);
            if single && inception && normed {
                // Refused: the residual has two functions but only one norm.
                continue;
            }
            let mut results = Vec::new();
            for mode in Differentiation::ALL {
                let mut config = NetworkConfig::named(model).unwrap().with_variant(variant);
                config = config.for_data(1, [8, 8], 5);
                config = config.with_units([2, 2, 2], [8, 16, 16]);
                (config.block_norm, config.block_dropout) =
                    (normed, if normed { 0.1 } else { 0.0 });
                config.activation = Activation::Tanh;
                let network = config.init(1, mode, &device).unwrap();
                let images = Generator::new(2, Purpose::Input).normal([4, 1, 8, 8], 1.0, &device);
                let logits = network.forward(images, Phase::Training { seed: 1, step: 3 }).unwrap();
                let gradients = logits.powi_scalar(2).sum().backward();
                results.push(module_gradients(&network, &gradients));
            }
            for found in &results[1..] {
                let error = relative(found, &results[0]);
                assert!(error < 2e-5, "{model} {variant:?} {normed}: {error:e}");
            }
        }
    }
}
