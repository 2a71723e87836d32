//! Vector–Jacobian products of single residuals on autodiff graphs of their own.
//!
//! The outer graph must never reach into these (a node of it inside a nested graph would lock
//! itself), so parameters and arguments enter as fresh leaves.

use crate::pass::{Memory, Pass, Survival};
use crate::residual::{Residual, Role, evaluate};
use crate::scheme::Term;
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};

/// Whether any parameter takes part in the autodiff graph.
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

/// The residuals outside any autodiff graph, sharing the parameters' memory.
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

/// Pulls cotangents back through a unit's residuals and adds up their parameters' gradients.
pub(super) struct ParameterGradients<'a, R> {
    residuals: &'a [R],
    /// Of these residuals' first evaluations.
    memory: &'a Memory,
    /// Index of `residuals[0]` in the unit.
    first: usize,
    /// Per residual, the gradients of its parameters in the order of their visit.
    sums: Vec<Option<Vec<Tensor<1>>>>,
}

impl<'a, R: Residual> ParameterGradients<'a, R> {
    /// No gradient yet; `residuals` are [detached](detach), all of a unit.
    pub fn new(residuals: &'a [R], memory: &'a Memory) -> Self {
        Self::from(0, residuals, memory)
    }

    /// The same for the residuals from number `first` on.
    pub fn from(first: usize, residuals: &'a [R], memory: &'a Memory) -> Self {
        Self { residuals, memory, first, sums: residuals.iter().map(|_| None).collect() }
    }

    /// (F(x), Jᵀv) of the term's residual, unscaled, by one evaluation of F.
    pub fn pull_back(
        &mut self,
        term: Term,
        x: Tensor<4>,
        cotangent: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let own = term.residual - self.first;
        let (plain, pulled, found) = self.memory.again(term.residual, term.role, |conditions| {
            let residual = &self.residuals[own];
            if term.role == Role::Forward
                && conditions.1 == Survival::Whole
                && let Some(known) = residual.pull_back(&x, &cotangent, conditions.0)
            {
                return (known.value, known.slope, Some(known.parameters));
            }
            by_autodiff(residual, term.role, x, cotangent, conditions)
        });
        let Some(found) = found else { return (plain, pulled) };
        let sum = &mut self.sums[own];
        *sum = Some(match sum.take() {
            Some(sum) => sum.into_iter().zip(found).map(|(sum, found)| sum + found).collect(),
            None => found,
        });
        (plain, pulled)
    }

    /// All gradients, flat, in the order of a visit.
    pub fn finish(self) -> Vec<Tensor<1>> {
        let sums = self.sums.into_iter().zip(self.residuals);
        sums.flat_map(|(sum, residual)| sum.unwrap_or_else(|| zeros(residual))).collect()
    }
}

/// (F(x), Jᵀv, the parameters' gradients) on a graph of its own; no gradients for a constant residual.
fn by_autodiff<R: Residual>(
    residual: &R,
    role: Role,
    x: Tensor<4>,
    cotangent: Tensor<4>,
    conditions: (&Pass, Survival),
) -> (Tensor<4>, Tensor<4>, Option<Vec<Tensor<1>>>) {
    let residual = with_fresh_leaves(residual);
    let x = x.autodiff().require_grad();
    let value = evaluate(&residual, role, x.clone(), conditions);
    let plain = value.clone().inner();
    if !value.is_tracked() {
        // A constant residual: neither x nor a parameter was used.
        return (plain, x.inner().zeros_like(), None);
    }
    let mut gradients = (value * cotangent.autodiff()).sum().backward();
    let pulled = x.grad_remove(&mut gradients).unwrap_or_else(|| x.inner().zeros_like());
    (plain, pulled, Some(collect(&residual, &mut gradients)))
}

/// The flattened gradients of a residual's parameters, zeros for unused ones.
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

/// Zero gradients of a residual that took no part.
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
