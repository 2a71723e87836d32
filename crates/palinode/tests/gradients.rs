//! Gradients of all three modes against each other and against the f64 reference.

mod support;

use burn::tensor::FloatDType;
use palinode::residual::BuiltInConfig;
use palinode::reversible::Differentiation;
use palinode::scheme::SchemeName;
use palinode_kernels::Activation;
use support::{Case, UnitGradients, values};

fn error_of(case: Case, mode: Differentiation) -> f64 {
    let unit = case.unit(mode);
    let found = UnitGradients::of(&unit, case.input(), case.cotangent());
    found.error(&case.reference_gradients(&unit, &values(case.cotangent())))
}

#[test]
fn in_f64_every_mode_is_the_reference_at_any_depth() {
    for scheme in SchemeName::ALL {
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
fn any_residual_goes_with_any_scheme() {
    let residuals = [BuiltInConfig::Symmetric, BuiltInConfig::Layer, BuiltInConfig::Antisymmetric];
    for scheme in SchemeName::ALL {
        for residual in residuals {
            let case = Case { residual, blocks: 3, batch: 2, ..Case::new(scheme) };
            for mode in Differentiation::ALL {
                let error = error_of(case, mode);
                assert!(error <= 1e-11, "{case:?} {mode:?}: {error:e}");
            }
        }
    }
}

#[test]
fn in_f32_with_tanh_the_reference_is_met_to_1e_5() {
    for scheme in SchemeName::ALL {
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

/// A zero, a sign or a scale error must not pass: the measure itself is tested.
#[test]
fn wrong_gradients_are_found() {
    let case = Case { blocks: 2, ..Case::new(SchemeName::Hamiltonian) };
    let unit = case.unit(Differentiation::Reversible);
    let truth = case.reference_gradients(&unit, &values(case.cotangent()));
    for scale in [0.0, -1.0, 1.0 + 1e-9] {
        let mut wrong = truth.clone();
        wrong.biases.iter_mut().for_each(|g| *g *= scale);
        assert!(wrong.error(&truth) > 1e-11, "scale {scale} passed");
    }
}
