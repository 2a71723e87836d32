//! Outputs and gradients of units.

use crate::device::{device, moved};
use crate::support::{self, Case, IN_KERNELS, UnitGradients};
use burn::tensor::FloatDType;
use palinode::Activation;
use palinode::network::Unit;
use palinode::residual::{BuiltIn, BuiltInConfig};
use palinode::reversible::{Differentiation, Watch};
use palinode::scheme::{Grid, SchemeName};

/// The largest relative difference between the device and the CPU, by mode.
fn differences(case: Case) -> Option<[f64; 3]> {
    let device = device()?;
    Some(Differentiation::ALL.map(|mode| {
        let unit = case.unit(mode);
        let truth = UnitGradients::of(&unit, case.input(), case.cotangent());
        let input = case.input().to_device(&device);
        let cotangent = case.cotangent().to_device(&device);
        UnitGradients::of(&moved(&unit, &device), input, cotangent).error(&truth)
    }))
}

fn case(scheme: SchemeName, residual: BuiltInConfig, activation: Activation) -> Case {
    let dtype = FloatDType::F32;
    let base = Case { residual, activation, dtype, ..Case::new(scheme) };
    Case { channels: 4, height: 8, width: 6, batch: 3, blocks: 4, ..base }
}

#[test]
fn every_scheme_and_mode_agrees_with_the_cpu() {
    for scheme in SchemeName::REVERSIBLE {
        for activation in [Activation::Tanh, Activation::Softplus] {
            let case = case(scheme, BuiltInConfig::usual_for(scheme), activation);
            let Some(found) = differences(case) else { return };
            println!("{scheme:?} {activation:?}: {found:?}");
            assert!(found.iter().all(|error| *error <= 1e-5), "{case:?}: {found:?}");
        }
    }
}

/// The arrays of these units are made for a part of the blocks at a time.
#[test]
fn wide_and_deep_units_agree_with_the_cpu() {
    for (scheme, blocks) in [(SchemeName::Hamiltonian, 15), (SchemeName::Leapfrog, 31)] {
        let case = case(scheme, BuiltInConfig::usual_for(scheme), Activation::Tanh);
        let case = Case { channels: 64, height: 3, width: 4, batch: 2, blocks, ..case };
        let Some(found) = differences(case) else { return };
        assert!(found.iter().all(|error| *error <= 1e-5), "{case:?}: {found:?}");
    }
}

#[test]
fn relu_agrees_on_seeds_where_the_modes_of_the_cpu_agree() {
    for scheme in IN_KERNELS {
        let mut agreed = 0;
        for seed in 1..=5 {
            let case = case(scheme, BuiltInConfig::usual_for(scheme), Activation::Relu);
            let case = Case { seed, ..case };
            let truth = UnitGradients::of(
                &case.unit(Differentiation::Stored),
                case.input(),
                case.cotangent(),
            );
            let own = UnitGradients::of(
                &case.unit(Differentiation::Reversible),
                case.input(),
                case.cotangent(),
            );
            if own.error(&truth) > 1e-5 {
                continue;
            }
            agreed += 1;
            let Some(found) = differences(case) else { return };
            assert!(found.iter().all(|error| *error <= 1e-5), "{case:?}: {found:?}");
        }
        assert!(agreed >= 3, "{scheme:?}: the CPU's modes agree on {agreed} of 5 seeds");
    }
}

#[test]
fn reversible_units_are_computed_as_a_whole_where_an_image_fits() {
    let Some(device) = device() else { return };
    let fused = |case: Case, mode| {
        let unit = moved(&case.unit(mode), &device);
        unit.is_fused(&case.input().to_device(&device), support::PHASE).unwrap()
    };
    for scheme in IN_KERNELS {
        let case = case(scheme, BuiltInConfig::usual_for(scheme), Activation::Tanh);
        assert!(fused(case, Differentiation::Reversible), "{scheme:?}");
        assert!(!fused(case, Differentiation::Stored));
        assert!(!fused(case, Differentiation::Checkpointed));
        let large = Case { height: 512, width: 512, blocks: 1, batch: 1, ..case };
        assert!(!fused(large, Differentiation::Reversible), "a map of four megabytes");
        assert!(!fused(Case { channels: 6, ..case }, Differentiation::Reversible));
    }
}

#[test]
fn states_on_a_grid_come_back_to_the_bit_and_others_drift_as_on_the_cpu() {
    let Some(device) = device() else { return };
    for scheme in IN_KERNELS.into_iter().chain([SchemeName::ForestRuth]) {
        let case = case(scheme, BuiltInConfig::usual_for(scheme), Activation::Tanh);
        let case = Case { step: 0.4, blocks: 9, batch: 8, ..case };
        let here = case.unit(Differentiation::Reversible);
        let grid = Grid::for_states(here.largest_state(case.input(), support::PHASE).unwrap());
        assert!(grid.is_some());
        // By the kernel for whole units, block by block, and in parts.
        for (survival, parts) in [(vec![], 1), (vec![1.0; 100], 1), (vec![], 3)] {
            let there = moved(&here, &device).with_survival(survival).with_parts(parts);
            let drift = |unit: &Unit<BuiltIn>| {
                let watch = Watch::new();
                let unit = unit.clone().with_watch(Some(&watch));
                let input = case.input().to_device(&device);
                UnitGradients::of(&unit, input, case.cotangent().to_device(&device));
                watch.read(1).unwrap()[0]
            };
            assert_eq!(drift(&there.clone().with_grid(grid)), 0.0, "{case:?} {parts}");
            let found = drift(&there);
            assert!(found > 0.0 && found < 1e-4, "{case:?} {parts}: {found:e}");
        }
    }
}
