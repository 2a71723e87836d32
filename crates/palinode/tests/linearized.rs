//! Derivatives of residuals, units and networks by products with vectors, in f64: closed formulas against central
//! differences, and every map against its adjoint.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use palinode::check::adjoint_error;
use palinode::network::weights::in_f64;
use palinode::network::{NetworkConfig, Phase, Unit};
use palinode::random::{Generator, Purpose};
use palinode::residual::{
    BuiltIn, BuiltInConfig, BuiltInSettings, Effects, Parabolic, Pass, Residual, Role,
};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, StabilityRegion};
use palinode::{Activation, Context};
use support::{Case, values};

const SCHEMES: [SchemeName; 10] = [
    SchemeName::Hamiltonian,
    SchemeName::HamiltonianSingle,
    SchemeName::Midpoint,
    SchemeName::Leapfrog,
    SchemeName::Coupling,
    SchemeName::ForestRuth,
    SchemeName::RungeKutta,
    SchemeName::Damped,
    SchemeName::Momentum,
    SchemeName::Euler,
];

/// Random numbers of a shape, in f64.
fn random(shape: [usize; 4], seed: u64) -> Tensor<4> {
    Generator::new(seed, Purpose::Input).normal(shape, 1.0, &Device::flex()).cast(DType::F64)
}

fn norm(x: &Tensor<4>) -> f64 {
    values(x.clone()).iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// ‖a − b‖ / ‖b‖.
fn relative(a: Tensor<4>, b: Tensor<4>) -> f64 {
    norm(&(a - b.clone())) / norm(&b)
}

/// All parameters and running statistics moved, the latter to positive numbers, in f64.
struct Moved(Generator);

impl ModuleMapper for Moved {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let noise: Tensor<D> = self.0.normal(param.val().dims(), 0.1, &Device::flex());
        param.map(|old| {
            let moved = old.clone() + noise;
            let is_variance = D == 1 && old.clone().min().into_scalar::<f64>() > 0.5;
            (if is_variance { moved.abs() } else { moved }).cast(DType::F64)
        })
    }
}

fn residual(kind: BuiltInConfig, norm: bool, activation: Activation) -> BuiltIn {
    let settings = BuiltInSettings {
        norm,
        with_conjugate: kind == BuiltInConfig::Layer,
        input_bias: matches!(kind, BuiltInConfig::Symmetric | BuiltInConfig::Parabolic),
        bottleneck: 4,
        groups: 2,
        ..BuiltInSettings::new(8, activation)
    };
    let residual = kind.init(settings, &mut Generator::new(3, Purpose::Weights), &Device::flex());
    residual.map(&mut Moved(Generator::new(4, Purpose::Weights)))
}

const KINDS: [BuiltInConfig; 8] = [
    BuiltInConfig::Symmetric,
    BuiltInConfig::Parabolic,
    BuiltInConfig::Layer,
    BuiltInConfig::Antisymmetric,
    BuiltInConfig::Inception,
    BuiltInConfig::AntisymmetricInception,
    BuiltInConfig::Basic,
    BuiltInConfig::Aggregated,
];

#[test]
fn jvps_of_all_residuals_equal_central_differences() {
    let context = Context::new();
    let pass = Pass::new(Phase::Inference, &context);
    let (x, v) = (random([2, 8, 5, 6], 1), random([2, 8, 5, 6], 2));
    for kind in KINDS {
        for norm in [false, true] {
            for activation in [Activation::Relu, Activation::Tanh, Activation::Softplus] {
                let residual = residual(kind, norm, activation);
                for role in [Role::Forward, Role::Conjugate] {
                    let value = |x: Tensor<4>| match role {
                        Role::Forward => residual.forward(x, &pass),
                        Role::Conjugate => residual.conjugate(x, &pass),
                    };
                    // Small enough that no argument of a ReLU changes its sign.
                    let step = 1e-6;
                    let difference =
                        value(x.clone() + v.clone() * step) - value(x.clone() - v.clone() * step);
                    let found = residual.jvp(role, &x, &v, &pass).unwrap();
                    let error = relative(found, difference / (2.0 * step));
                    assert!(error < 1e-8, "{kind:?} {norm} {activation:?} {role:?}: {error:e}");
                }
            }
        }
    }
}

/// The residual with such biases in front of σ that σ′ = 1 for ReLU at an input of ones.
fn opened(residual: BuiltIn) -> BuiltIn {
    let set = |bias: &mut Param<Tensor<1>>| {
        *bias = bias.clone().map(|old| Tensor::full_like(&old, 1000.0));
    };
    let mut residual = residual;
    match &mut residual {
        BuiltIn::Symmetric(own) | BuiltIn::Parabolic(Parabolic { negated: own }) => {
            own.bias.iter_mut().for_each(set);
            own.norm.iter_mut().for_each(|norm| set(&mut norm.bias));
        }
        BuiltIn::Layer(own) => {
            own.bias.iter_mut().for_each(set);
            let norms = own.norm.iter_mut().chain(&mut own.conjugate_norm);
            norms.for_each(|norm| set(&mut norm.bias));
        }
        BuiltIn::Antisymmetric(own) => {
            own.bias.iter_mut().for_each(set);
            own.norm.iter_mut().for_each(|norm| set(&mut norm.bias));
        }
        BuiltIn::Inception(own) => {
            let last = [&mut own.map.one, &mut own.map.three, &mut own.map.five];
            last.into_iter().flat_map(|own| &mut own.bias).for_each(set);
            own.norm.iter_mut().for_each(|norm| set(&mut norm.bias));
        }
        BuiltIn::AntisymmetricInception(own) => {
            let last = [&mut own.map.one, &mut own.map.three, &mut own.map.five];
            last.into_iter().flat_map(|own| &mut own.bias).for_each(set);
            own.norm.iter_mut().for_each(|norm| set(&mut norm.bias));
        }
        BuiltIn::Basic(_) | BuiltIn::Aggregated(_) => panic!("they have no bound"),
    }
    residual
}

#[test]
fn lipschitz_bounds_are_reached_where_the_slope_is_one_and_never_passed() {
    for kind in &KINDS[..6] {
        for with_norm in [false, true] {
            let residual = opened(residual(*kind, with_norm, Activation::Relu));
            let scheme = SchemeName::Euler.with_step(1.0, Default::default());
            let unit = Unit::new(vec![residual], scheme, Differentiation::Stored).unwrap();
            let ones = Tensor::<4>::ones([1, 8, 5, 6], (&Device::flex(), DType::F64));
            let linearized = unit.linearized(ones).unwrap();
            let last = (0..3000).fold(random([1, 8, 5, 6], 7), |x, _| {
                let next = linearized.field_adjoint(0, linearized.field(0, x).unwrap()).unwrap();
                next.clone() / norm(&next)
            });
            let exact = norm(&linearized.field(0, last).unwrap());
            let bound = unit.frequency_bounds([5, 6]).unwrap().unwrap()[0];
            assert!(bound > 0.98 * exact, "{kind:?} {with_norm}: {bound} {exact}");
            // With a norm between K and Kᵀ the bound is the product of two norms, which need not be reached.
            if !with_norm {
                assert!(bound < 1.0001 * exact, "{kind:?}: {bound} {exact}");
            }
        }
    }
}

fn case(scheme: SchemeName) -> Case {
    Case {
        activation: Activation::Tanh,
        blocks: 4,
        channels: 4,
        step: 0.2,
        residual: match scheme {
            SchemeName::Euler => BuiltInConfig::Antisymmetric,
            scheme => BuiltInConfig::usual_for(scheme),
        },
        dtype: FloatDType::F64,
        ..Case::new(scheme)
    }
}

/// A unit in f64, outside any graph.
fn unit(case: &Case) -> Unit<BuiltIn> {
    struct Plain;
    impl ModuleMapper for Plain {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| old.inner())
        }
    }
    case.unit(Differentiation::Stored).map(&mut Plain)
}

#[test]
fn the_derivative_of_a_unit_equals_differences_of_its_outputs_and_has_the_right_adjoint() {
    for scheme in SCHEMES {
        let case = case(scheme);
        let (unit, x) = (unit(&case), case.input().inner());
        let [v, w] = [11, 12].map(|seed| random(x.dims(), seed));
        let linearized = unit.linearized(x.clone()).unwrap();
        let mut states = Vec::new();
        let found = linearized.apply(v.clone(), &mut |state| states.push(state.clone())).unwrap();
        let value = |x: Tensor<4>| unit.forward(x, Phase::Inference).unwrap();
        assert!(relative(linearized.output(), value(x.clone())) < 1e-14, "{scheme:?}");
        let step = 1e-5;
        let difference = value(x.clone() + v.clone() * step) - value(x - v.clone() * step);
        let error = relative(found.clone(), difference / (2.0 * step));
        assert!(error < 1e-8, "{scheme:?}: {error:e}");
        assert_eq!(states.len(), unit.blocks() + 1);
        assert_eq!(values(states[0].clone()), values(v.clone()));
        assert_eq!(values(states[unit.blocks()].clone()), values(found.clone()));
        let adjoint = linearized.adjoint(w.clone()).unwrap();
        let error = adjoint_error(v, w, found, adjoint);
        assert!(error < 1e-13, "{scheme:?}: {error:e}");
    }
}

/// The right-hand sides of the ODEs, written out once more.
fn right_hand_side(scheme: SchemeName, residual: &[BuiltIn], state: Tensor<4>) -> Tensor<4> {
    let context = Context::new();
    let pass = Pass::new(Phase::Inference, &context);
    let channels = state.dims()[1];
    let half = |which: usize| state.clone().narrow(1, which * channels / 2, channels / 2);
    match scheme {
        SchemeName::Hamiltonian | SchemeName::ForestRuth => Tensor::cat(
            vec![residual[0].forward(half(1), &pass), residual[1].forward(half(0), &pass).neg()],
            1,
        ),
        SchemeName::HamiltonianSingle => Tensor::cat(
            vec![residual[0].forward(half(1), &pass), residual[0].conjugate(half(0), &pass).neg()],
            1,
        ),
        SchemeName::Coupling => Tensor::cat(
            vec![residual[0].forward(half(1), &pass), residual[1].forward(half(0), &pass)],
            1,
        ),
        SchemeName::Midpoint | SchemeName::Euler | SchemeName::RungeKutta => {
            residual[0].forward(state, &pass)
        }
        // Ẋ = V, V̇ = −F(X), less half of V where it is damped.
        SchemeName::Leapfrog => {
            Tensor::cat(vec![half(1), residual[0].forward(half(0), &pass).neg()], 1)
        }
        SchemeName::Damped => {
            let force = residual[0].forward(half(0), &pass).neg() - half(1) * 0.5;
            Tensor::cat(vec![half(1), force], 1)
        }
        // With γ = 0.9 and h = 0.2, (1 − γ)/h is 0.5.
        SchemeName::Momentum => {
            let force = (residual[0].forward(half(0), &pass) - half(1)) * 0.5;
            Tensor::cat(vec![half(1), force], 1)
        }
    }
}

#[test]
fn the_field_is_the_jacobian_of_the_right_hand_side() {
    for scheme in SCHEMES {
        let case = case(scheme);
        let (unit, x) = (unit(&case), case.input().inner());
        let linearized = unit.linearized(x.clone()).unwrap();
        let per_block = unit.residuals_per_block();
        let state = match scheme {
            // At rest the speed does not enter the Jacobian.
            SchemeName::Leapfrog | SchemeName::Damped | SchemeName::Momentum => {
                Tensor::cat(vec![x.clone(), x.zeros_like()], 1)
            }
            _ => x,
        };
        let shape = linearized.field_shape(0).unwrap();
        assert_eq!(shape, state.dims(), "{scheme:?}");
        let [v, w] = [21, 22].map(|seed| random(shape, seed));
        let found = linearized.field(0, v.clone()).unwrap();
        let step = 1e-5;
        let value = |x| right_hand_side(scheme, &unit.residuals[..per_block], x);
        let difference = value(state.clone() + v.clone() * step) - value(state - v.clone() * step);
        let error = relative(found, difference / (2.0 * step));
        assert!(error < 1e-8, "{scheme:?}: {error:e}");
        for block in 0..unit.blocks() {
            let product = linearized.field(block, v.clone()).unwrap();
            let adjoint = linearized.field_adjoint(block, w.clone()).unwrap();
            let error = adjoint_error(v.clone(), w.clone(), product, adjoint);
            assert!(error < 1e-13, "{scheme:?}, block {block}: {error:e}");
        }
        assert!(linearized.field(unit.blocks(), v).is_err());
        assert!(linearized.field_shape(unit.blocks()).is_none());
    }
}

/// tanh, without a formula for its derivative.
#[derive(Module, Debug)]
struct Plain;

impl Residual for Plain {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        x.tanh()
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn a_residual_without_a_formula_is_differentiated_by_differences() {
    let scheme = SchemeName::Hamiltonian.with_step(0.3, Default::default());
    let unit = Unit::new(vec![Plain; 6], scheme, Differentiation::Stored).unwrap();
    let x = random([2, 4, 3, 3], 31);
    let linearized = unit.linearized(x.clone()).unwrap();
    let [v, w] = [32, 33].map(|seed| random(x.dims(), seed));
    let product = linearized.apply(v.clone(), &mut |_| ()).unwrap();
    let error = adjoint_error(v, w.clone(), product, linearized.adjoint(w).unwrap());
    assert!(error < 1e-9, "{error:e}");
    assert!(unit.frequency_bounds([3, 3]).unwrap().is_none());
}

#[test]
fn frequencies_follow_the_formula_of_every_scheme() {
    for scheme in SCHEMES {
        let case = case(scheme);
        let unit = unit(&case);
        let context = Context::new();
        let pass = Pass::new(Phase::Inference, &context);
        let bound = |residual: &BuiltIn| {
            residual.lipschitz_bound([5, 7], &pass).unwrap().into_scalar::<f64>()
        };
        let found = unit.frequency_bounds([5, 7]).unwrap().unwrap();
        assert_eq!(found.len(), unit.blocks());
        let h = case.step;
        for (block, found) in found.into_iter().enumerate() {
            let own: Vec<f64> = unit
                .residuals
                .chunks(unit.residuals_per_block())
                .nth(block)
                .unwrap()
                .iter()
                .map(bound)
                .collect();
            // ‖F′‖ ≤ ‖K‖² for Kᵀσ(Kx + b), so √ of it is ‖K‖.
            let expected = match scheme {
                SchemeName::Hamiltonian | SchemeName::ForestRuth => {
                    h * own[0].sqrt() * own[1].sqrt()
                }
                SchemeName::Damped => h * own[0].sqrt().max(0.5),
                SchemeName::Momentum => h * (0.5 * own[0]).sqrt().max(0.5),
                SchemeName::Coupling => own[0].sqrt() * own[1].sqrt(),
                SchemeName::Leapfrog => h * own[0].sqrt(),
                _ => h * own[0],
            };
            assert!((found / expected - 1.0).abs() < 1e-12, "{scheme:?}: {found} {expected}");
        }
        let expected = match scheme {
            SchemeName::Midpoint => Some(StabilityRegion::ImaginaryAxis(1.0)),
            SchemeName::Coupling
            | SchemeName::RungeKutta
            | SchemeName::Damped
            | SchemeName::Momentum => None,
            SchemeName::ForestRuth => Some(StabilityRegion::ImaginaryAxis(1.573)),
            SchemeName::Euler => Some(StabilityRegion::UnitDisc),
            _ => Some(StabilityRegion::ImaginaryAxis(2.0)),
        };
        assert_eq!(unit.scheme().stability_region(), expected);
    }
}

#[test]
fn the_derivative_of_a_network_goes_through_transitions_and_first_blocks() {
    for name in ["hamiltonian", "leapfrog", "resnet-32", "revnet-38"] {
        let config = NetworkConfig::named(name)
            .unwrap()
            .for_data(1, [8, 8], 3)
            .with_units([2, 2, 2], [4, 8, 12]);
        let network = in_f64(config.init(1, Differentiation::Stored, &Device::flex()).unwrap());
        let images = random([2, 1, 8, 8], 41);
        let linearized = network.linearized(images.clone()).unwrap();
        // The first unit's input and the last unit's output, by the network itself.
        let ends = |images: Tensor<4>| {
            let mut ends = Vec::new();
            let see = &mut |unit: &Unit<BuiltIn>, x: &Tensor<4>| {
                if ends.is_empty() {
                    ends.push(x.clone());
                }
                ends.truncate(1);
                ends.push(unit.forward(x.clone(), Phase::Inference)?);
                Ok(())
            };
            network.forward_past(images, Phase::Inference, see).unwrap();
            ends
        };
        let (step, direction) = (1e-6, random(images.dims(), 42));
        let [more, less] =
            [step, -step].map(|step| ends(images.clone() + direction.clone() * step));
        let change = |end: usize| (more[end].clone() - less[end].clone()) / (2.0 * step);
        let mut seen = Vec::new();
        let found = linearized.apply(change(0), &mut |unit, _| seen.push(unit)).unwrap();
        let error = relative(found, change(1));
        assert!(error < 1e-7, "{name}: {error:e}");
        let blocks = network.units.iter().map(Unit::blocks).enumerate();
        let expected: Vec<usize> =
            blocks.flat_map(|(unit, blocks)| vec![unit; blocks + 1]).collect();
        assert_eq!(seen, expected);
    }
}
