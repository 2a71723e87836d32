//! inverse(forward(x)) = x.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use palinode::network::Unit;
use palinode::random::{Generator, Purpose};
use palinode::residual::BuiltIn;
use palinode::reversible::Differentiation;
use palinode::scheme::SchemeName;
use support::{Case, values};

/// (largest error of the reconstructed input, largest change that the unit made to it).
fn reconstruct(unit: &Unit<BuiltIn>, input: Tensor<4>) -> (f64, f64) {
    let (last, evaluations) = unit.forward_state(input.clone(), support::PHASE).unwrap();
    let output = values(unit.output(last.clone()));
    let reconstructed = values(unit.inverse(last, &evaluations).unwrap());
    let input = values(input);
    let largest =
        |other: &[f64]| other.iter().zip(&input).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    (largest(&reconstructed), largest(&output))
}

fn deep(scheme: SchemeName) -> Case {
    Case {
        blocks: 54,
        channels: 8,
        height: 8,
        width: 8,
        batch: 2,
        dtype: FloatDType::F32,
        ..Case::new(scheme)
    }
}

#[test]
fn hamiltonian_and_leapfrog_invert_54_blocks_in_f32() {
    for scheme in [SchemeName::Hamiltonian, SchemeName::HamiltonianSingle, SchemeName::Leapfrog] {
        for seed in 0..3 {
            let case = Case { seed, ..deep(scheme) };
            let (error, change) =
                reconstruct(&case.unit(Differentiation::Reversible), case.input());
            assert!(change > 0.1, "{case:?}: the unit changes its input by only {change}");
            assert!(error <= 1e-5, "{case:?}: {error:e}");
        }
    }
}

#[test]
fn midpoint_inverts_54_blocks_if_the_weights_are_smooth_in_depth() {
    let case = deep(SchemeName::Midpoint);
    let unit = case.unit(Differentiation::Reversible);
    let smooth = Unit::new(
        smooth_in_depth(unit.residuals.clone()),
        SchemeName::Midpoint.with_step(0.1, Default::default()),
        Differentiation::Reversible,
    )
    .unwrap();
    let (error, change) = reconstruct(&smooth, case.input());
    assert!(change > 0.1, "the unit changes its input by only {change}");
    assert!(error <= 1e-5, "{error:e}");
}

/// θ_j = θ_a cos(πj/2N) + θ_b sin(πj/2N), where θ_a and θ_b are the parameters of the first two
/// residuals.
fn smooth_in_depth(residuals: Vec<BuiltIn>) -> Vec<BuiltIn> {
    struct Blend {
        other: Vec<Tensor<1>>,
        angle: f64,
    }
    impl ModuleMapper for Blend {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (other, angle) = (self.other.remove(0), self.angle);
            param.map(|value| {
                let shape = value.shape();
                let other: Tensor<D> = other.reshape(shape);
                (value.inner() * angle.cos() + other * angle.sin()).autodiff().require_grad()
            })
        }
    }
    let count = residuals.len();
    let (first, second) = (residuals[0].clone(), residuals[1].clone());
    let (kernel, bias) = support::parameters(&second);
    let other = vec![kernel.inner().reshape([-1]), bias.inner().reshape([-1])];
    (0..count)
        .map(|j| {
            let angle = std::f64::consts::FRAC_PI_2 * j as f64 / count as f64;
            first.clone().map(&mut Blend { other: other.clone(), angle })
        })
        .collect()
}

#[test]
fn every_scheme_inverts_in_f64() {
    for scheme in SchemeName::REVERSIBLE {
        let case = Case { blocks: 7, batch: 2, ..Case::new(scheme) };
        let (error, change) = reconstruct(&case.unit(Differentiation::Stored), case.input());
        assert!(change > 0.01 && error < 1e-13, "{case:?}: {error:e}, change {change}");
    }
}

#[test]
fn an_odd_number_of_channels_is_refused_by_two_streams() {
    let case = Case::new(SchemeName::Hamiltonian);
    let mut generator = Generator::new(0, Purpose::Input);
    let odd = generator.normal([1, 5, 4, 4], 1.0, &Device::flex());
    let message = case
        .unit(Differentiation::Reversible)
        .forward(odd, support::PHASE)
        .unwrap_err()
        .to_string();
    assert!(message.contains("5 channels, expected an even number"), "{message}");
}
