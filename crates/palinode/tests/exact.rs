//! States on a grid come back to the bit, so that the reversible mode has the gradients of the stored one.
#![allow(clippy::unwrap_used)]

#[path = "blocks/case.rs"]
mod case;
mod support;

use burn::tensor::{DType, FloatDType, Tensor};
use case::{KINDS, unit};
use palinode::Activation;
use palinode::network::{Phase, Unit};
use palinode::residual::BuiltIn;
use palinode::reversible::Differentiation;
use palinode::scheme::{Grid, SchemeName, Streams};
use support::{Case, IN_KERNELS, UnitGradients, module_gradients, relative, values};

const PHASE: Phase = Phase::Training { seed: 5, step: 11 };

/// The unit with its state on the grid that its states on `input` suggest.
fn on_grid(unit: Unit<BuiltIn>, input: &Tensor<4>) -> Unit<BuiltIn> {
    let largest = unit.largest_state(input.clone(), PHASE).unwrap();
    let grid = Grid::for_states(largest);
    assert!(grid.is_some(), "states up to {largest:e}");
    unit.with_grid(grid)
}

/// Depths and step sizes at which a state of any numbers comes back changed, or not at all.
#[test]
fn gradients_are_those_of_the_stored_mode_at_any_depth_and_step_size() {
    for (scheme, blocks, step) in [
        (SchemeName::Hamiltonian, 20, 0.9),
        (SchemeName::Hamiltonian, 300, 0.2),
        (SchemeName::HamiltonianSingle, 20, 0.9),
        (SchemeName::Midpoint, 20, 0.5),
        (SchemeName::Midpoint, 300, 0.02),
        (SchemeName::Leapfrog, 20, 1.0),
        (SchemeName::Leapfrog, 300, 0.1),
        (SchemeName::Coupling, 10, 1.0),
    ] {
        for activation in Activation::ALL {
            let case = Case { blocks, step, activation, ..Case::new(scheme) };
            let case = Case { channels: 8, dtype: FloatDType::F32, ..case };
            let gradients = |mode: Differentiation| {
                // A dropout of nothing keeps the kernels for whole units away, so that both modes compute F alike.
                let unit = case.unit(mode).with_survival(vec![1.0; 1000]);
                UnitGradients::of(&on_grid(unit, &case.input()), case.input(), case.cotangent())
            };
            let [stored, checkpointed, reversible] = [
                Differentiation::Stored,
                Differentiation::Checkpointed,
                Differentiation::Reversible,
            ]
            .map(gradients);
            assert_eq!(reversible.output, stored.output, "{case:?}");
            // These two differentiate alike, at states that are kept or come back.
            assert_eq!(reversible.input, checkpointed.input, "{case:?}");
            assert_eq!(reversible.kernels, checkpointed.kernels, "{case:?}");
            assert_eq!(reversible.biases, checkpointed.biases, "{case:?}");
            let error = reversible.error(&stored);
            assert!(error <= 1e-5, "{case:?}: {error:e}");
        }
    }
}

/// The kernels for whole units compute F in another order than the stored mode, so that states differ by a few steps of
/// the grid; what comes back does not.
#[test]
fn whole_units_come_back_to_the_bit() {
    for scheme in IN_KERNELS {
        let blocks = if scheme == SchemeName::Coupling { 8 } else { 40 };
        let case = Case { blocks, step: 0.3, dtype: FloatDType::F32, ..Case::new(scheme) };
        let unit = on_grid(case.unit(Differentiation::Reversible), &case.input());
        assert!(unit.is_fused(&case.input(), PHASE).unwrap(), "{scheme:?}");
        let (last, evaluations) = unit.forward_state(case.input(), PHASE).unwrap();
        let found = values(unit.inverse(last, &evaluations).unwrap());
        let grid = unit.grid().unwrap();
        let start = values(case.input()).into_iter().map(|x| f64::from(grid.nearest(x as f32)));
        assert_eq!(found, start.collect::<Vec<f64>>(), "{scheme:?}");
    }
}

/// With norms, dropout and stochastic depth inside, and every built-in residual.
#[test]
fn every_residual_comes_back_to_the_bit_and_modes_agree() {
    let exact = |scheme: &SchemeName| scheme.with_step(1.0, Default::default()).is_exact();
    let schemes: Vec<SchemeName> = SchemeName::REVERSIBLE.into_iter().filter(exact).collect();
    assert_eq!(schemes.len(), 7, "all but `damped` and `momentum`");
    for scheme in schemes {
        for kind in KINDS {
            let streams = scheme.with_step(1.0, Default::default()).streams();
            let channels = if streams == Streams::Two { 16 } else { 8 };
            let input = case::normal(4, [3, channels, 4, 6]).cast(DType::F32);
            let of = |mode: Differentiation| {
                let unit = unit(scheme, kind, mode, DType::F32).with_survival(vec![0.7; 8]);
                let unit = on_grid(unit, &input);
                let x = input.clone().autodiff().require_grad();
                let y = unit.forward(x.clone(), PHASE).unwrap();
                let gradients = y.clone().powi_scalar(2).sum().backward();
                let mut found = module_gradients(&unit, &gradients);
                found.extend(values(x.grad(&gradients).unwrap()));
                (unit, values(y), found)
            };
            let (unit, output, truth) = of(Differentiation::Stored);
            for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
                let (_, y, found) = of(mode);
                assert_eq!(y, output, "{scheme:?} {kind:?} {mode:?}");
                let error = relative(&found, &truth);
                assert!(error <= 2e-6, "{scheme:?} {kind:?} {mode:?}: {error:e}");
            }
            let (last, evaluations) = unit.forward_state(input.clone(), PHASE).unwrap();
            let found = values(unit.inverse(last, &evaluations).unwrap());
            let grid = unit.grid().unwrap();
            let start = values(input.clone()).into_iter();
            let start = start.map(|x| f64::from(grid.nearest(x as f32))).collect::<Vec<f64>>();
            assert_eq!(found, start, "{scheme:?} {kind:?}");
        }
    }
}

#[test]
fn inference_and_schemes_without_an_inverse_have_no_grid() {
    let case = Case { dtype: FloatDType::F32, ..Case::new(SchemeName::Hamiltonian) };
    let unit = case.unit(Differentiation::Reversible);
    let output = |unit: &Unit<BuiltIn>, phase| values(unit.forward(case.input(), phase).unwrap());
    let gridded = unit.clone().with_grid(Grid::new(8).ok());
    assert_eq!(output(&gridded, Phase::Inference), output(&unit, Phase::Inference));
    assert_ne!(output(&gridded, PHASE), output(&unit, PHASE));
    let scheme = SchemeName::Euler.with_step(0.1, Default::default());
    let euler = Unit::new(unit.residuals.clone(), scheme, Differentiation::Stored).unwrap();
    assert_eq!(euler.with_grid(Grid::new(8).ok()).grid(), None);
    for inexact in [SchemeName::Damped, SchemeName::Momentum] {
        let scheme = inexact.with_step(0.1, Default::default());
        let unit = Unit::new(unit.residuals.clone(), scheme, Differentiation::Reversible).unwrap();
        assert_eq!(unit.with_grid(Grid::new(8).ok()).grid(), None);
    }
}
