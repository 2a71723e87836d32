//! Gradients of all three modes against each other and against the f64 reference.
#![allow(clippy::unwrap_used)]

mod support;

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{FloatDType, Tensor};
use palinode::Context;
use palinode::residual::{BuiltInConfig, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode::scheme::{Evaluation, SchemeName, Start, sweep};
use palinode_kernels::Activation;
use support::{Case, IN_KERNELS, UnitGradients, values};

fn error_of(case: Case, mode: Differentiation) -> f64 {
    let unit = case.unit(mode);
    let found = UnitGradients::of(&unit, case.input(), case.cotangent());
    found.error(&case.reference_gradients(&unit, &values(case.cotangent())))
}

#[test]
fn in_f64_every_mode_agrees_with_the_reference_at_any_depth() {
    for scheme in IN_KERNELS {
        for activation in Activation::ALL {
            for blocks in [1, 2, 7, 54] {
                let case = Case { activation, blocks, ..Case::new(scheme) };
                for mode in Differentiation::ALL {
                    let error = error_of(case, mode);
                    assert!(error <= 1e-11, "{case:?} {mode:?}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn any_residual_works_with_any_scheme() {
    let residuals = [BuiltInConfig::Symmetric, BuiltInConfig::Layer, BuiltInConfig::Antisymmetric];
    for scheme in IN_KERNELS {
        for residual in residuals {
            let case = Case { residual, blocks: 3, batch: 2, ..Case::new(scheme) };
            for mode in Differentiation::ALL {
                let error = error_of(case, mode);
                assert!(error <= 1e-11, "{case:?} {mode:?}: {error:e}");
            }
        }
    }
}

/// The second bias of layout `paper`, and the report's start of leapfrog.
#[test]
fn input_biases_and_the_start_of_the_report_agree_with_the_reference() {
    let paper = |scheme| Case { input_bias: true, blocks: 7, batch: 2, ..Case::new(scheme) };
    let report =
        Case { start: Start::Report, blocks: 7, batch: 2, ..Case::new(SchemeName::Leapfrog) };
    let cases = [paper(SchemeName::Hamiltonian), paper(SchemeName::Coupling), report];
    for case in cases {
        for mode in Differentiation::ALL {
            let error = error_of(case, mode);
            assert!(error <= 1e-11, "{case:?} {mode:?}: {error:e}");
        }
    }
}

#[test]
fn in_f32_with_tanh_every_mode_agrees_with_the_reference_to_1e_5() {
    for scheme in IN_KERNELS {
        for blocks in [1, 2, 7, 54] {
            let case = Case {
                activation: Activation::Tanh,
                blocks,
                dtype: FloatDType::F32,
                ..Case::new(scheme)
            };
            for mode in Differentiation::ALL {
                let error = error_of(case, mode);
                assert!(error <= 1e-5, "{case:?} {mode:?}: {error:e}");
            }
        }
    }
}

/// Tests the error measure itself: zeros, a wrong sign and a wrong scale must exceed the bound.
#[test]
fn wrong_gradients_are_detected() {
    let case = Case { blocks: 2, ..Case::new(SchemeName::Hamiltonian) };
    let unit = case.unit(Differentiation::Reversible);
    let truth = case.reference_gradients(&unit, &values(case.cotangent()));
    for scale in [0.0, -1.0, 1.0 + 1e-9] {
        let mut wrong = truth.clone();
        wrong.biases.iter_mut().for_each(|g| *g *= scale);
        assert!(wrong.error(&truth) > 1e-11, "scale {scale} passed");
    }
}

/// In f32 with ReLU, rounding can move a pre-activation across zero. The gradient then changes by the
/// whole contribution of that pixel, whatever the precision elsewhere.
#[test]
fn in_f32_with_relu_errors_above_1e_5_come_from_sign_changes_at_zero() {
    const SEEDS: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    for scheme in [SchemeName::Hamiltonian, SchemeName::Leapfrog, SchemeName::Coupling] {
        let mut errors = Vec::new();
        for seed in SEEDS {
            let case = Case {
                blocks: 18,
                channels: 4,
                height: 8,
                width: 8,
                batch: 2,
                seed,
                dtype: FloatDType::F32,
                ..Case::new(scheme)
            };
            let error = error_of(case, Differentiation::Reversible);
            if error > 1e-5 {
                let flips = flipped_signs(case);
                assert!(!flips.is_empty(), "{case:?}: {error:e} without a changed sign");
                let largest = flips.iter().copied().fold(0.0, f64::max);
                assert!(largest <= 1e-5, "{case:?}: a sign changed at {largest:e}");
            }
            errors.push(error);
        }
        errors.sort_by(f64::total_cmp);
        assert!(errors[4] <= 1e-5, "{scheme:?}: median of {errors:?}");
    }
}

/// |Kx + b| in f64 of every pre-activation whose sign differs in f32, in the forward or in the inverse
/// sweep.
fn flipped_signs(case: Case) -> Vec<f64> {
    let exact = Case { dtype: FloatDType::F64, ..case };
    let (forward, backward) = pre_activations(case);
    let (truth, _) = pre_activations(exact);
    let mut flips = Vec::new();
    for found in [forward, backward] {
        let pairs = found.iter().flatten().zip(truth.iter().flatten());
        flips.extend(pairs.filter(|(f, t)| (**f > 0.0) != (**t > 0.0)).map(|(_, t)| t.abs()));
    }
    flips
}

/// Kx + b of every residual in the forward and in the inverse sweep, by the residual's index.
fn pre_activations(case: Case) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let unit = case.unit(Differentiation::Stored);
    let pass = Pass::new(support::PHASE, &Context::new());
    let record = |x: Tensor<4>, index: usize, seen: &mut Vec<Vec<f64>>| {
        let (kernel, bias) = support::parameters(&unit.residuals[index]);
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let pre = conv2d(x.clone(), kernel.inner(), Some(bias.inner()), options);
        seen[index] = values(pre);
        unit.residuals[index].forward(x, &pass).inner()
    };
    let mut forward = vec![Vec::new(); unit.residuals.len()];
    let mut backward = forward.clone();
    let mut state = sweep::open(unit.scheme(), case.input());
    for block in 0..unit.blocks() {
        let block = sweep::Block { scheme: unit.scheme(), block, grid: None };
        let record = &mut |own: Evaluation, x| Ok(record(x, own.residual, &mut forward));
        state = block.step(state, record).unwrap();
    }
    for block in (0..unit.blocks()).rev() {
        let block = sweep::Block { scheme: unit.scheme(), block, grid: None };
        let record = &mut |own: Evaluation, x| Ok(record(x, own.residual, &mut backward));
        state = block.unstep(state, record).unwrap();
    }
    (forward, backward)
}
