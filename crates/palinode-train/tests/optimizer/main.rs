//! The optimisers against hand arithmetic, and their state.
#![allow(clippy::unwrap_used)]

mod gradients;
mod rules;
#[path = "../support/mod.rs"]
mod support;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::Activation;
use palinode::network::weights::{Array, Arrays, Names, collect, replace};
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use palinode_train::recipe::{
    Decayed, OptimizerName, OptimizerRecipe, SmoothnessKind, SmoothnessRecipe,
};
use palinode_train::train::{GradientMean, NetworkOptimizer, ParameterGradients, cross_entropy};

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

/// A network of one block per unit with random weights, biases included.
fn random_network(seed: u64) -> Network {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 2);
    config = config.with_units([1, 1, 1], [2, 2, 2]);
    let network = config.init(0, Differentiation::Stored, &Device::flex().autodiff()).unwrap();
    let mut generator = Generator::new(seed, Purpose::Input);
    let mut arrays = collect(&network);
    for array in arrays.values_mut() {
        let values: Tensor<1> = generator.normal([array.values.len()], 1.0, &Device::flex());
        array.values = values.into_data().try_to_vec().unwrap();
    }
    replace(network, &arrays).unwrap()
}

/// A loss Σ gw with random g, and these g in the order of a visit.
fn random_loss(network: &Network, step: u64) -> (Tensor<1>, Vec<f32>) {
    struct Visitor(Generator, Option<Tensor<1>>, Vec<f32>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weight = param.val();
            let gradient: Tensor<D> =
                self.0.normal(weight.shape(), 1.0, &Device::flex().autodiff());
            self.2.extend(support::values(gradient.clone()).into_iter().map(|g| g as f32));
            let part = (weight * gradient).sum();
            self.1 = Some(match self.1.take() {
                Some(sum) => sum + part,
                None => part,
            });
        }
    }
    let generator = Generator::with_stream(99, Purpose::Input, step);
    let mut visitor = Visitor(generator, None, Vec::new());
    network.visit(&mut visitor);
    (visitor.1.unwrap(), visitor.2)
}

/// All weights in the order of a visit.
fn flat(network: &Network) -> Vec<f32> {
    weights_of(network).into_iter().map(|weight| weight as f32).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// For every weight, whether it belongs to a kernel.
fn kernel_mask(network: &Network) -> Vec<bool> {
    let slots = Names::of(network).slots;
    let mask = slots.iter().map(|s| vec![s.is_kernel(); s.shape.iter().product::<usize>()]);
    mask.collect::<Vec<_>>().concat()
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

fn step(network: Network, optimizer: &mut NetworkOptimizer, rate: f64) -> Network {
    let loss = sum_of_weights(&network);
    step_down(network, optimizer, loss, rate)
}

/// One step down the gradient of `loss`.
fn step_down(
    network: Network,
    optimizer: &mut NetworkOptimizer,
    loss: Tensor<1>,
    rate: f64,
) -> Network {
    let gradients = ParameterGradients::take(&network, &mut loss.backward());
    optimizer.step(network, gradients, rate).unwrap().0
}

fn sgd() -> OptimizerRecipe {
    OptimizerRecipe::default()
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
