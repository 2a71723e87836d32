//! Units whose residuals have batch norms and dropouts.

use crate::case::{KINDS, parameters, unit};
use crate::device::{device, moved};
use crate::support::{module_gradients, relative, values};
use burn::tensor::{DType, Device, Tensor};
use palinode::network::{Phase, Unit};
use palinode::random::{Generator, Purpose};
use palinode::residual::BuiltIn;
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start, Streams};

const PHASE: Phase = Phase::Training { seed: 5, step: 11 };

/// Output, gradients with respect to input and parameters, and parameters with running statistics.
fn results(unit: &Unit<BuiltIn>, device: &Device) -> [Vec<f64>; 3] {
    let channels = if unit.scheme().streams() == Streams::Two { 16 } else { 8 };
    let mut generator = Generator::new(4, Purpose::Input);
    let x: Tensor<4> = generator.normal([3, channels, 4, 6], 1.0, device);
    let x = x.autodiff().require_grad();
    let y = unit.forward(x.clone(), PHASE).unwrap();
    let gradients = y.clone().powi_scalar(2).sum().backward();
    let mut found = module_gradients(unit, &gradients);
    found.extend(values(x.grad(&gradients).unwrap()));
    [values(y), found, parameters(unit)]
}

#[test]
fn every_residual_scheme_and_mode_agrees_with_the_cpu() {
    let Some(device) = device() else { return };
    for scheme in [SchemeName::Euler].into_iter().chain(SchemeName::REVERSIBLE) {
        for kind in KINDS {
            for mode in Differentiation::ALL {
                let reversible = scheme.with_step(1.0, Start::AtRest).is_reversible();
                if mode == Differentiation::Reversible && !reversible {
                    continue;
                }
                let on = |device: &Device| {
                    let unit = unit(scheme, kind, mode, DType::F32);
                    // Clones share running statistics, so that the second unit is made anew.
                    results(&moved(&unit, device), device)
                };
                let (found, truth) = (on(&device), on(&Device::flex()));
                for (what, (found, truth)) in
                    ["output", "gradients", "statistics"].iter().zip(found.iter().zip(&truth))
                {
                    let error = relative(found, truth);
                    assert!(error < 1e-5, "{scheme:?} {kind:?} {mode:?}: {what} {error:e}");
                }
            }
        }
    }
}
