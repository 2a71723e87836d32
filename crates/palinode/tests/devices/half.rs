//! Residuals in half types.

use crate::case::{KINDS, unit};
use crate::device::{device, moved};
use crate::support::{Case, IN_KERNELS, UnitGradients, module_gradients, relative, values};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use palinode::Activation;
use palinode::network::Phase;
use palinode::precision::NumberType;
use palinode::random::{Generator, Purpose};
use palinode::residual::BuiltInConfig;
use palinode::reversible::Differentiation;
use palinode::scheme::SchemeName;

/// The half types that the device has: at least one, if a device is named for the tests.
fn types(device: &Device) -> Vec<NumberType> {
    let half = [NumberType::F16, NumberType::Bf16];
    let found: Vec<_> = half.into_iter().filter(|own| own.check_on(device).is_ok()).collect();
    if found.is_empty() {
        assert!(std::env::var("PALINODE_DEVICE").is_err(), "the device has no half type");
        println!("skipped: the device has no half type");
    }
    found
}

#[test]
fn gradients_in_half_types_are_close_to_those_in_f32_in_every_mode() {
    let Some(device) = device() else { return };
    for precision in types(&device) {
        let bound = if precision == NumberType::F16 { 2e-3 } else { 2e-2 };
        for scheme in IN_KERNELS {
            let (activation, dtype) = (Activation::Tanh, FloatDType::F32);
            let case = Case { activation, dtype, ..Case::new(scheme) };
            let case = Case { channels: 4, height: 6, width: 6, batch: 2, blocks: 3, ..case };
            let truth = UnitGradients::of(
                &case.unit(Differentiation::Stored),
                case.input(),
                case.cotangent(),
            );
            let mut found = Vec::new();
            for mode in Differentiation::ALL {
                let unit = moved(&case.unit(mode), &device).with_precision(precision).unwrap();
                let operands = [case.input(), case.cotangent()].map(|x| x.to_device(&device));
                let [input, cotangent] = operands;
                let own = UnitGradients::of(&unit, input, cotangent);
                let error = own.error(&truth);
                assert!(error < bound, "{scheme:?} {mode:?} {precision:?}: {error:e}");
                assert!(error > 1e-6, "{scheme:?} {mode:?}: nothing was rounded to {precision:?}");
                found.push(own);
            }
            // The forward pass is the same in every mode, and the states are those of f32 sums.
            let error = relative(&found[1].output, &found[0].output);
            assert!(error == 0.0, "{scheme:?}: outputs differ by {error:e}");
        }
    }
}

/// A cotangent as small as in the first layers of a deep network.
#[test]
fn small_gradients_survive_in_f16() {
    let Some(device) = device() else { return };
    if !types(&device).contains(&NumberType::F16) {
        return;
    }
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let (activation, dtype) = (Activation::Tanh, FloatDType::F32);
        let case = Case { activation, dtype, ..Case::new(SchemeName::Hamiltonian) };
        let unit = moved(&case.unit(mode), &device).with_precision(NumberType::F16).unwrap();
        let [input, cotangent] = [case.input(), case.cotangent()].map(|x| x.to_device(&device));
        let of =
            |scale: f64| UnitGradients::of(&unit, input.clone(), cotangent.clone() * scale).kernels;
        let small: Vec<f64> = of(1e-9).iter().map(|gradient| gradient * 1e9).collect();
        let error = relative(&small, &of(1.0));
        assert!(error < 1e-5, "{mode:?}: {error:e}");
    }
}

#[test]
fn norms_inside_residuals_stay_in_f32() {
    let Some(device) = device() else { return };
    let phase = Phase::Training { seed: 5, step: 11 };
    let images = |channels: usize| -> Tensor<4> {
        Generator::new(4, Purpose::Input).normal([3, channels, 4, 6], 1.0, &device)
    };
    for precision in types(&device) {
        for kind in KINDS {
            let results = |precision: NumberType| {
                let unit =
                    unit(SchemeName::Hamiltonian, kind, Differentiation::Reversible, DType::F32);
                let unit = moved(&unit, &device).with_precision(precision).unwrap();
                let y = unit.forward(images(16).autodiff(), phase).unwrap();
                let gradients = y.clone().powi_scalar(2).sum().backward();
                let mut found = values(y);
                found.extend(module_gradients(&unit, &gradients));
                found
            };
            let error = relative(&results(precision), &results(NumberType::F32));
            assert!(error < 3e-2 && error > 1e-6, "{kind:?} {precision:?}: {error:e}");
        }
    }
}

#[test]
fn types_that_a_device_does_not_have_are_refused() {
    let unit = |device: &Device| {
        let case = Case { dtype: FloatDType::F32, ..Case::new(SchemeName::Hamiltonian) };
        assert_eq!(case.residual, BuiltInConfig::Symmetric);
        moved(&case.unit(Differentiation::Reversible), device)
    };
    for precision in [NumberType::F16, NumberType::Bf16] {
        let refused = unit(&Device::flex()).with_precision(precision).unwrap_err().to_string();
        assert!(refused.contains("it has f32"), "{refused}");
    }
    let Some(device) = device() else { return };
    for precision in [NumberType::F16, NumberType::Bf16] {
        if !types(&device).contains(&precision) {
            let refused = unit(&device).with_precision(precision).unwrap_err().to_string();
            assert!(
                refused.starts_with("training.precision: the device does not compute in"),
                "{refused}"
            );
        }
    }
}
