//! Batch norms and dropouts inside blocks: the results are the same in every mode.

use crate::case::{Cast, KINDS, normal, parameters, unit};
use crate::support::{cross_entropy, module_gradients, relative, sgd, step as update, values};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};
use palinode::Activation;
use palinode::network::weights::collect;
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, BuiltInConfig};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start};

/// Running statistics of a module, flattened.
fn running<M: Module>(module: &M) -> Vec<f64> {
    struct Visitor {
        name: String,
        found: Vec<f64>,
    }
    impl ModuleVisitor for Visitor {
        fn enter_module(&mut self, name: &str, _: &str) {
            name.clone_into(&mut self.name);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.name.starts_with("running") {
                self.found.extend(values(param.val()));
            }
        }
    }
    let mut visitor = Visitor { name: String::new(), found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

#[test]
fn units_with_norms_and_dropouts_give_the_same_results_in_every_mode() {
    for scheme in [SchemeName::Euler].into_iter().chain(SchemeName::REVERSIBLE) {
        let channels = 8 * if scheme.with_step(1.0, Start::AtRest).streams()
            == palinode::scheme::Streams::Two
        {
            2
        } else {
            1
        };
        for kind in KINDS {
            for phase in [Phase::Training { seed: 5, step: 11 }, Phase::BatchStatistics] {
                let mut results: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
                for mode in Differentiation::ALL {
                    if scheme == SchemeName::Euler && mode == Differentiation::Reversible {
                        continue;
                    }
                    let unit = unit(scheme, kind, mode, DType::F64);
                    let before = running(&unit);
                    let x = normal(4, [3, channels, 4, 5]).autodiff().require_grad();
                    let y = unit.forward(x.clone(), phase).unwrap();
                    let gradients = y.powi_scalar(2).sum().backward();
                    let mut found = module_gradients(&unit, &gradients);
                    found.extend(values(x.grad(&gradients).unwrap()));
                    let after = running(&unit);
                    assert_eq!(before != after, phase != Phase::BatchStatistics, "{mode:?}");
                    results.push((found, after));
                }
                for (gradients, statistics) in &results[1..] {
                    let error = relative(gradients, &results[0].0);
                    assert!(error < 1e-11, "{scheme:?} {kind:?} {phase:?}: {error:e}");
                    let error = relative(statistics, &results[0].1);
                    assert!(error < 1e-12, "{scheme:?} {kind:?} {phase:?}: statistics {error:e}");
                }
            }
        }
    }
}

#[test]
fn a_unit_with_norms_and_dropouts_inverts_and_reports_the_size_of_its_statistics() {
    for scheme in SchemeName::REVERSIBLE {
        let unit = unit(scheme, BuiltInConfig::Symmetric, Differentiation::Stored, DType::F64);
        let streams = unit.scheme().streams();
        let channels = if streams == palinode::scheme::Streams::Two { 16 } else { 8 };
        let x = normal(4, [3, channels, 4, 5]);
        let (last, evaluations) =
            unit.forward_state(x.clone().autodiff(), Phase::Training { seed: 5, step: 0 }).unwrap();
        let updates = unit.scheme().updates(0);
        let per_block: usize = updates.iter().map(palinode::scheme::Update::evaluations).sum();
        let count = unit.blocks() * per_block;
        assert_eq!(evaluations.bytes(), count * 8 * 16, "{scheme:?}: two numbers per channel");
        let error = relative(&values(unit.inverse(last, &evaluations).unwrap()), &values(x));
        assert!(error < 1e-12, "{scheme:?}: {error:e}");
    }
}

/// A network with norms and dropouts in every block, after `steps` optimiser steps, and the last
/// gradients.
fn trained(mode: Differentiation, steps: u64, dtype: DType) -> (Network, Vec<f64>) {
    let device = Device::flex().autodiff();
    let mut config = NetworkConfig::named("revnet-38").unwrap().for_data(1, [8, 8], 5);
    config = config.with_units([3, 3, 3], [8, 8, 16]);
    (config.block_dropout, config.dropout, config.activation) = (0.1, 0.2, Activation::Tanh);
    let mut network = config.init(7, mode, &device).unwrap().map(&mut Cast(dtype));
    let mut optimizer = sgd();
    let mut last = Vec::new();
    for step in 0..steps {
        let mut generator = Generator::with_stream(2, Purpose::Input, step);
        let images: Tensor<4> = generator.normal([4, 1, 8, 8], 1.0, &device).cast(dtype);
        let labels = Tensor::from_ints([0, 1, 2, 3], &device);
        let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
        let gradients = cross_entropy(logits, labels).backward();
        last = module_gradients(&network, &gradients);
        network = update(&mut optimizer, network, gradients, 0.05);
    }
    (network, last)
}

#[test]
fn after_one_and_five_steps_every_mode_agrees_with_stored_mode() {
    for (steps, dtype, bound) in
        [(1, DType::F64, 1e-11), (5, DType::F64, 1e-11), (1, DType::F32, 2e-5)]
    {
        let (stored, gradients) = trained(Differentiation::Stored, steps, dtype);
        for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
            let (network, own) = trained(mode, steps, dtype);
            let error = relative(&own, &gradients);
            assert!(error < bound, "{mode:?}, {steps} steps: gradients differ by {error:e}");
            for (what, found, expected) in [
                ("weights", parameters(&network), parameters(&stored)),
                ("statistics", running(&network), running(&stored)),
            ] {
                let error = relative(&found, &expected);
                assert!(error < bound, "{mode:?}, {steps} steps: {what} differ by {error:e}");
            }
        }
    }
}

#[test]
fn inference_updates_nothing_and_training_does_not_use_burns_generator() {
    let (network, _) = trained(Differentiation::Reversible, 1, DType::F32);
    let before = collect(&network);
    let device = Device::flex();
    let images: Tensor<4> = Generator::new(2, Purpose::Input).normal([4, 1, 8, 8], 1.0, &device);
    let logits = |phase| values(network.valid().forward(images.clone(), phase).unwrap());
    let inference = logits(Phase::Inference);
    assert_eq!(inference, logits(Phase::Inference));
    assert_eq!(before, collect(&network));

    let drawn = |between: &dyn Fn()| {
        device.seed(42);
        let first = Tensor::<1>::random([4], Distribution::Default, &device);
        between();
        let second = Tensor::<1>::random([4], Distribution::Default, &device);
        (values(first), values(second))
    };
    // (No other test of this binary draws from Burn's generator.)
    let alone = drawn(&|| ());
    assert_eq!(
        alone,
        drawn(&|| {
            trained(Differentiation::Reversible, 1, DType::F32);
        })
    );
}

/// F and F* of the single-layer Hamiltonian network have different inputs. Each has its own norm, whose
/// running statistics are those of its own input.
#[test]
fn the_two_functions_of_a_layer_have_separate_norms() {
    let unit = unit(
        SchemeName::HamiltonianSingle,
        BuiltInConfig::Layer,
        Differentiation::Stored,
        DType::F64,
    );
    let BuiltIn::Layer(layer) = &unit.residuals[0] else { panic!("not a layer") };
    let (norm, conjugate) = (layer.norm.as_ref().unwrap(), layer.conjugate_norm.as_ref().unwrap());
    let x = normal(4, [3, 16, 4, 5]);
    unit.forward(x.autodiff(), Phase::Training { seed: 1, step: 0 }).unwrap();
    let [first, second] = [norm, conjugate].map(|norm| values(norm.running_var.value_sync()));
    assert!(first.iter().chain(&second).all(|&variance| variance != 1.0), "one was never updated");
    assert!(relative(&first, &second) > 1e-3, "both have the same statistics");
    // One update moves the variance a tenth of the way from 1 to that of the batch.
    assert!(first.iter().all(|&v| v > 0.9 - 1e-9), "updated more than once: {first:?}");
}
