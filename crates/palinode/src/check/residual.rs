//! A check of a residual against its own description.

use super::derivative::adjoint_error;
use crate::error::{Error, Result};
use crate::network::Unit;
use crate::pass::{Pass, Phase, Place};
use crate::random::{Generator, Purpose};
use crate::residual::{Effects, Residual};
use crate::reversible::{Differentiation, value_of, vjp_by_autodiff};
use crate::scheme::{Hamiltonian, Midpoint, Role, Scheme, Streams};
use burn::tensor::{DType, Device, Tensor};
use palinode_kernels::Context;
use std::sync::Arc;

/// The largest allowed relative difference between two computations of the same quantity.
const BOUND: f64 = 1e-4;

/// Evaluates `residual` on random images of `shape` `[n, c, h, w]` and checks it against its own
/// description:
///
/// * its value has the shape and the element type of its input;
/// * if [`effects`](Residual::effects) returns [`Effects::None`], a second evaluation gives the same
///   bits;
/// * if [`vjp`](Residual::vjp) returns a result, it agrees with autodiff;
/// * if [`jvp`](Residual::jvp) returns a result, it is the adjoint of the vjp;
/// * if [`lipschitz_bound`](Residual::lipschitz_bound) returns a number, the Jacobian stays below it;
/// * if [`kernel_form`](Residual::kernel_form) returns a formula, the kernels compute the same values
///   (checked in f32 on the CPU only).
///
/// The comparisons allow relative differences of 1e-4. Call it once, in a test or before training.
/// `residual` and `device` must be without autodiff.
///
/// # Errors
/// [`Error::Residual`] for the first check that fails; [`Error::Config`] if a norm or dropout is
/// misused; [`Error::Kernels`] if the parameters do not match the kernel form;
/// [`Error::NotRepeatable`] if a residual with a kernel form has side effects.
pub fn check_residual<R: Residual>(
    residual: &R,
    shape: [usize; 4],
    context: &Context,
    device: &Device,
) -> Result<()> {
    let name = std::any::type_name::<R>();
    let refuse = |reason: String| Err(Error::Residual { residual: name.to_owned(), reason });
    let mut generator = Generator::new(0, Purpose::Input);
    let [x, v]: [Tensor<4>; 2] = [(); 2].map(|()| generator.normal(shape, 1.0, device));
    let phase = Phase::Training { seed: 1, step: 0 };
    let place = Place::Unit { unit: 0, function: 0 };
    let evaluate = |role, pass: &Pass| {
        let value = value_of((residual, &name), role, x.clone(), pass)?;
        pass.check()?;
        Ok::<_, Error>(value)
    };

    let first = Pass::first(phase, context, place);
    let value = evaluate(Role::Forward, &first)?;
    let again = Pass::again(phase, context, place, first.into_kept());
    if residual.effects() == Effects::None {
        let difference = (evaluate(Role::Forward, &again)? - value.clone()).abs().max();
        let difference = difference.into_scalar::<f64>();
        // A NaN is refused too.
        if difference != 0.0 {
            return refuse(format!(
                "`effects` says that evaluations can be repeated, but two of them differ by \
                 {difference:e}"
            ));
        }
    }

    let pass = Pass::first(phase, context, place);
    if let Some(own) = residual.vjp(&x, &v, &pass) {
        pass.check()?;
        // The same masks and statistics: those of the same place in the same step.
        let pass = Pass::first(phase, context, place);
        let by_autodiff = vjp_by_autodiff(residual, Role::Forward, x.clone(), v.clone(), &pass)?;
        let flat = |parts: &[Tensor<1>]| Tensor::cat(parts.to_vec(), 0);
        let mut pairs = vec![
            ("value", own.value.flatten::<1>(0, 3), by_autodiff.value.flatten::<1>(0, 3)),
            ("input", own.input.flatten::<1>(0, 3), by_autodiff.input.flatten::<1>(0, 3)),
        ];
        if !by_autodiff.parameters.is_empty() {
            pairs.push(("parameters", flat(&own.parameters), flat(&by_autodiff.parameters)));
        }
        for (what, own, truth) in pairs {
            let error = relative(own, truth);
            if error.is_nan() || error > BOUND {
                return refuse(format!("`vjp`: `{what}` differs from autodiff by {error:e}"));
            }
        }
    }

    check_derivatives(residual, (name, context), &x, &v)?;
    if residual.kernel_form().is_some() && x.dtype() == DType::F32 && *device == Device::flex() {
        // The output of a midpoint block depends on F, that of a Hamiltonian block on F* too.
        let schemes: [Arc<dyn Scheme>; 2] =
            [Arc::new(Midpoint { step: 1.0 }), Arc::new(Hamiltonian { step: 1.0 })];
        for scheme in schemes {
            let unit = Unit::new(vec![residual.clone()], scheme, Differentiation::Reversible)?
                .with_context(context)?;
            let input = match unit.scheme().streams() {
                Streams::One => x.clone(),
                Streams::Two => Tensor::cat(vec![x.clone(), x.clone()], 1),
            };
            let by_kernels = unit.forward(input.clone(), Phase::Inference)?;
            let (last, _) = unit.forward_state(input, Phase::Inference)?;
            let error =
                relative(by_kernels.flatten::<1>(0, 3), unit.output(last).flatten::<1>(0, 3));
            if error.is_nan() || error > BOUND {
                return refuse(format!(
                    "the kernels' values for `kernel_form` differ from `forward` by {error:e}"
                ));
            }
        }
    }
    Ok(())
}

/// Checks `jvp` against the vjp, and `lipschitz_bound` against both.
fn check_derivatives<R: Residual>(
    residual: &R,
    (name, context): (&str, &Context),
    x: &Tensor<4>,
    v: &Tensor<4>,
) -> Result<()> {
    let refuse = |reason: String| Err(Error::Residual { residual: name.to_owned(), reason });
    let pass = Pass::new(Phase::Inference, context);
    let [.., height, width] = x.dims();
    let bound = residual.lipschitz_bound([height, width], &pass);
    let bound = bound.map(|bound| bound.into_scalar::<f64>());
    for role in [Role::Forward, Role::Conjugate] {
        // The input serves as the cotangent too: it is as random as v, and independent of it.
        let by_autodiff = vjp_by_autodiff(residual, role, x.clone(), x.clone(), &pass)?.input;
        let length = |x: &Tensor<4>| x.clone().powi_scalar(2).sum().into_scalar::<f64>().sqrt();
        let factor = length(&by_autodiff) / length(x);
        if let Some(bound) = bound.filter(|bound| factor > bound * 1.02) {
            return refuse(format!(
                "`lipschitz_bound` is {bound:e}, but F′ᵀ makes a vector {factor:e} times as long"
            ));
        }
        if let Some(own) = residual.jvp(role, x, v, &pass) {
            let error = adjoint_error(v.clone(), x.clone(), own, by_autodiff);
            if error.is_nan() || error > BOUND {
                return refuse(format!(
                    "`jvp`: ⟨F′v, w⟩ and ⟨v, F′ᵀw⟩ differ by {error:e} of ‖F′v‖‖w‖"
                ));
            }
        }
    }
    Ok(())
}

/// ‖a − b‖ / ‖b‖; infinite if the lengths differ.
fn relative(a: Tensor<1>, b: Tensor<1>) -> f64 {
    if a.dims() != b.dims() {
        return f64::INFINITY;
    }
    let norm = |x: Tensor<1>| x.powi_scalar(2).sum().into_scalar::<f64>().sqrt();
    norm(a - b.clone()) / norm(b).max(f64::MIN_POSITIVE)
}
