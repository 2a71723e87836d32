//! Test cases: residuals, units of residuals, and inputs.
#![allow(dead_code)] // the tests of devices use a part of this

use crate::support::values;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::Activation;
use palinode::network::Unit;
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, BuiltInConfig, BuiltInSettings};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start};

pub const KINDS: [BuiltInConfig; 7] = [
    BuiltInConfig::Symmetric,
    BuiltInConfig::Layer,
    BuiltInConfig::Antisymmetric,
    BuiltInConfig::Inception,
    BuiltInConfig::AntisymmetricInception,
    BuiltInConfig::Basic,
    BuiltInConfig::Aggregated,
];

/// Replaces every parameter by a tracked copy in f64, moved by `amount` along a random direction.
pub struct Move {
    generator: Generator,
    amount: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, _) = param.consume();
        let value = value.inner();
        let direction: Tensor<D> = self.generator.normal(value.shape(), 1.0, &value.device());
        let moved = value.cast(DType::F64) + direction.cast(DType::F64) * self.amount;
        Param::initialized(id, moved.autodiff().require_grad())
    }
}

pub fn residual(kind: BuiltInConfig, normed: bool, amount: f64) -> BuiltIn {
    let settings = BuiltInSettings {
        norm: normed,
        with_conjugate: true,
        dropout: if normed { 0.3 } else { 0.0 },
        bottleneck: 4,
        groups: 2,
        ..BuiltInSettings::new(8, Activation::Tanh)
    };
    let mut generator = Generator::new(3, Purpose::Weights);
    let residual = kind.init(settings, &mut generator, &Device::flex());
    let mut generator = Generator::new(31, Purpose::Input);
    // Move every parameter away from its initial value, since zero biases hide mistakes.
    let residual = residual.map(&mut Move { generator: generator.clone(), amount: 0.2 });
    generator = Generator::new(31, Purpose::Input);
    residual.map(&mut Move { generator, amount })
}

pub fn normal(seed: u64, shape: [usize; 4]) -> Tensor<4> {
    Generator::new(seed, Purpose::Input).normal(shape, 1.0, &Device::flex()).cast(DType::F64)
}

pub struct Cast(pub DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, _) = param.consume();
        Param::initialized(id, value.inner().cast(self.0).autodiff().require_grad())
    }
}

/// A unit of four blocks whose residuals have batch norm and dropout.
pub fn unit(
    scheme: SchemeName,
    kind: BuiltInConfig,
    mode: Differentiation,
    dtype: DType,
) -> Unit<BuiltIn> {
    let settings = BuiltInSettings {
        norm: true,
        with_conjugate: scheme == SchemeName::HamiltonianSingle,
        dropout: 0.2,
        bottleneck: 4,
        groups: 2,
        ..BuiltInSettings::new(8, Activation::Tanh)
    };
    let scheme = scheme.with_step(0.3, Start::AtRest);
    let mut generator = Generator::new(3, Purpose::Weights);
    let residuals = (0..4 * scheme.residuals_per_block())
        .map(|_| kind.init(settings, &mut generator, &Device::flex()).map(&mut Cast(dtype)))
        .collect();
    Unit::new(residuals, scheme, mode).unwrap()
}

/// Parameters and running statistics of a module, flattened.
pub fn parameters<M: Module>(module: &M) -> Vec<f64> {
    struct Visitor(Vec<f64>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(values(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    module.visit(&mut visitor);
    visitor.0
}
