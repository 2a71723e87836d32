//! Vector–Jacobian products of single residuals, each on a separate autodiff graph.
//!
//! A node of the outer graph inside one of these graphs would deadlock. So parameters and arguments
//! enter as fresh leaves.

use super::evaluations::{Evaluations, Survival, check_like, surviving_value};
use super::half::f16_scale;
use crate::error::{Error, Result};
use crate::pass::Pass;
use crate::precision::NumberType;
use crate::residual::{Residual, Vjp};
use crate::scheme::{Evaluation, Role};
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use std::fmt;

/// Whether any parameter is tracked by autodiff.
pub(super) fn any_tracked<R: Residual>(residuals: &[R]) -> bool {
    struct Visitor(bool);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.val().is_tracked();
        }
    }
    let mut visitor = Visitor(false);
    residuals.iter().for_each(|residual| residual.visit(&mut visitor));
    visitor.0
}

/// The residuals outside any autodiff graph. Parameters share their memory with the originals.
pub(super) fn detach<R: Residual>(residuals: &[R]) -> Vec<R> {
    struct Mapper;
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            Param::initialized(param.id, param.val().inner())
        }
    }
    residuals.iter().map(|residual| residual.clone().map(&mut Mapper)).collect()
}

/// The residual with every parameter a leaf of a new graph.
fn with_fresh_leaves<R: Residual>(residual: &R) -> R {
    struct Mapper;
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            Param::initialized(param.id, param.val().inner().autodiff().require_grad())
        }
    }
    residual.clone().map(&mut Mapper)
}

/// Jᵀv of a [detached](detach) residual under stochastic depth, without gradients of its parameters.
pub(super) fn vjp_of_input<R: Residual>(
    residual: &R,
    role: Role,
    x: Tensor<4>,
    cotangent: Tensor<4>,
    conditions: (&Pass, Survival),
) -> Result<Tensor<4>> {
    struct Constants;
    impl ModuleMapper for Constants {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            Param::initialized(param.id, param.val().inner().autodiff())
        }
    }
    let residual = residual.clone().map(&mut Constants);
    let x = x.autodiff().require_grad();
    let name = std::any::type_name::<R>();
    let output = surviving_value((&residual, &name), role, x.clone(), conditions)?;
    let zeros = || x.clone().inner().zeros_like();
    if !output.is_tracked() {
        return Ok(zeros());
    }
    let gradients = (output * cotangent.autodiff()).sum().backward();
    Ok(x.grad(&gradients).unwrap_or_else(zeros))
}

/// Differentiates a unit's residuals one by one and sums the gradients with respect to their parameters.
pub(super) struct ParameterGradients<'a, R> {
    residuals: &'a [R],
    /// The first evaluations of these residuals.
    evaluations: &'a Evaluations,
    /// Index of `residuals[0]` in the unit.
    first: usize,
    /// Per residual, the gradients with respect to its parameters in visiting order.
    sums: Vec<Option<Vec<Tensor<1>>>>,
}

impl<'a, R: Residual> ParameterGradients<'a, R> {
    /// Without gradients at first. `residuals` must be [detached](detach); `first` is the index of the
    /// first one in the unit.
    pub fn new(first: usize, residuals: &'a [R], evaluations: &'a Evaluations) -> Self {
        Self { residuals, evaluations, first, sums: residuals.iter().map(|_| None).collect() }
    }

    /// (F(x), Jᵀv) of a residual, unscaled, by one evaluation of F.
    ///
    /// # Errors
    /// Any error of the residual's second evaluation.
    pub fn vjp(
        &mut self,
        evaluation: Evaluation,
        x: Tensor<4>,
        cotangent: Tensor<4>,
    ) -> Result<(Tensor<4>, Tensor<4>)> {
        let own = evaluation.residual - self.first;
        let residual = &self.residuals[own];
        let name = self.evaluations.name::<R>(evaluation.residual);
        let Vjp { value, input, parameters } =
            self.evaluations.again(evaluation, |pass, survival| {
                if evaluation.role == Role::Forward
                    && survival == Survival::Whole
                    && pass.precision() == NumberType::F32
                    && let Some(known) = residual.vjp(&x, &cotangent, pass)
                {
                    check_vjp(residual, &name, &known, &x)?;
                    return Ok(known);
                }
                by_autodiff(residual, evaluation.role, x, cotangent, (pass, survival))
            })?;
        // A constant residual has no gradients.
        if !parameters.is_empty() {
            let sum = &mut self.sums[own];
            *sum = Some(match sum.take() {
                Some(sum) => sum.into_iter().zip(parameters).map(|(a, b)| a + b).collect(),
                None => parameters,
            });
        }
        Ok((value, input))
    }

    /// All gradients, flattened, in visiting order, with zeros for residuals that were not used.
    pub fn finish(self) -> Vec<Tensor<1>> {
        let sums = self.sums.into_iter().zip(self.residuals);
        sums.flat_map(|(sum, residual)| sum.unwrap_or_else(|| zeros(residual))).collect()
    }
}

/// Checks the shapes of what a residual's own vjp has returned.
fn check_vjp<R: Residual>(
    residual: &R,
    name: &dyn fmt::Display,
    found: &Vjp,
    x: &Tensor<4>,
) -> Result<()> {
    let expected = (x.dims(), x.dtype());
    check_like(name, "its vjp returned the value", &found.value, expected)?;
    check_like(name, "its vjp returned the gradient", &found.input, expected)?;
    struct Lengths(Vec<usize>);
    impl ModuleVisitor for Lengths {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.lazy_shape().num_elements());
        }
    }
    let mut expected = Lengths(Vec::new());
    residual.visit(&mut expected);
    let expected = expected.0;
    let found: Vec<usize> = found.parameters.iter().map(|tensor| tensor.dims()[0]).collect();
    match found.is_empty() || found == expected {
        true => Ok(()),
        false => Err(Error::Residual {
            residual: name.to_string(),
            reason: format!(
                "its vjp returned gradients of {found:?} numbers for parameters of {expected:?}"
            ),
        }),
    }
}

/// The vjp of a residual by autodiff, on a separate graph.
///
/// # Errors
/// Any error of the evaluation.
pub(crate) fn vjp_by_autodiff<R: Residual>(
    residual: &R,
    role: Role,
    x: Tensor<4>,
    cotangent: Tensor<4>,
    pass: &Pass,
) -> Result<Vjp> {
    by_autodiff(residual, role, x, cotangent, (pass, Survival::Whole))
}

/// The vjp under stochastic depth, on a separate graph. A constant residual has no parameter gradients.
fn by_autodiff<R: Residual>(
    residual: &R,
    role: Role,
    x: Tensor<4>,
    cotangent: Tensor<4>,
    conditions: (&Pass, Survival),
) -> Result<Vjp> {
    let residual = with_fresh_leaves(residual);
    let x = x.autodiff().require_grad();
    let name = std::any::type_name::<R>();
    let output = surviving_value((&residual, &name), role, x.clone(), conditions)?;
    let value = output.clone().inner();
    if !output.is_tracked() {
        // A constant residual: neither x nor a parameter was used.
        return Ok(Vjp { value, input: x.inner().zeros_like(), parameters: Vec::new() });
    }
    // A vjp is linear in the cotangent.
    let scale = (conditions.0.precision() == NumberType::F16).then(|| f16_scale(&cotangent));
    let cotangent = match &scale {
        Some(scale) => cotangent * scale.clone(),
        None => cotangent,
    };
    let mut gradients = (output * cotangent.autodiff()).sum().backward();
    // A residual that does not depend on x has no gradient with respect to it.
    let mut input = x.grad_remove(&mut gradients).unwrap_or_else(|| x.inner().zeros_like());
    let mut parameters = collect(&residual, &mut gradients);
    if let Some(scale) = scale {
        let vector: Tensor<1> = scale.clone().reshape([1]);
        input = input / scale;
        parameters = parameters.into_iter().map(|own| own / vector.clone()).collect();
    }
    Ok(Vjp { value, input, parameters })
}

/// The flattened gradients with respect to a residual's parameters, with zeros for unused ones.
fn collect<R: Residual>(residual: &R, gradients: &mut Gradients) -> Vec<Tensor<1>> {
    struct Visitor<'a>(&'a mut Gradients, Vec<Tensor<1>>);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let gradient = value.grad_remove(self.0);
            let gradient = gradient.unwrap_or_else(|| value.inner().zeros_like());
            self.1.push(gradient.reshape([-1]));
        }
    }
    let mut visitor = Visitor(gradients, Vec::new());
    residual.visit(&mut visitor);
    visitor.1
}

/// Zero gradients for a residual that was not used.
fn zeros<R: Residual>(residual: &R) -> Vec<Tensor<1>> {
    struct Visitor(Vec<Tensor<1>>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().inner().zeros_like().reshape([-1]));
        }
    }
    let mut visitor = Visitor(Vec::new());
    residual.visit(&mut visitor);
    visitor.0
}
