//! Gradients of residuals against finite differences.

use crate::case::{KINDS, normal, residual};
use crate::support::{module_gradients, values};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use palinode::Context;
use palinode::network::Phase;
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, Pass, Residual};

/// The direction of [`Move`](crate::case::Move), flattened.
struct Direction {
    generator: Generator,
    values: Vec<f64>,
}

impl ModuleVisitor for Direction {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val().inner();
        let direction: Tensor<D> = self.generator.normal(value.shape(), 1.0, &value.device());
        self.values.extend(values(direction.cast(DType::F64)));
    }
}

fn direction<M: Module>(module: &M) -> Vec<f64> {
    let mut visitor =
        Direction { generator: Generator::new(31, Purpose::Input), values: Vec::new() };
    module.visit(&mut visitor);
    visitor.values
}

/// The derivative along a random direction of parameters and input, by autodiff and by central
/// differences of fourth order. It includes batch statistics and dropout masks.
#[test]
fn gradients_of_every_residual_agree_with_finite_differences() {
    let shape = [3, 8, 5, 4];
    let (x, along, weight) = (normal(1, shape), normal(2, shape), normal(3, shape));
    let phase = Phase::Training { seed: 7, step: 2 };
    for kind in KINDS {
        for normed in [false, true] {
            for conjugate in [false, true] {
                let value = |residual: &BuiltIn, x: Tensor<4>| {
                    let pass = Pass::new(phase, &Context::new());
                    let y = match conjugate {
                        false => residual.forward(x, &pass),
                        true => residual.conjugate(x, &pass),
                    };
                    (y * weight.clone().autodiff()).sum()
                };
                let here = residual(kind, normed, 0.0);
                let input = x.clone().autodiff().require_grad();
                let gradients = value(&here, input.clone()).backward();
                let of_parameters = module_gradients(&here, &gradients);
                let along_parameters: f64 =
                    of_parameters.iter().zip(direction(&here)).map(|(g, d)| g * d).sum();
                let of_input = input.grad(&gradients).unwrap();
                let along_input = (of_input * along.clone()).sum().into_scalar::<f64>();
                let derivative = along_parameters + along_input;

                let step = 1e-4;
                let at = |amount: f64| {
                    let moved = residual(kind, normed, amount);
                    let x = x.clone() + along.clone() * amount;
                    value(&moved, x.autodiff()).inner().into_scalar::<f64>()
                };
                let expected = (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step))
                    / (12.0 * step);
                let error = (derivative - expected).abs() / expected.abs().max(1.0);
                assert!(
                    error < 1e-8,
                    "{kind:?}, norm and dropout {normed}, conjugate {conjugate}: {derivative} against \
                     {expected}"
                );
            }
        }
    }
}
