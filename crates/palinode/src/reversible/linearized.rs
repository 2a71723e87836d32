//! The derivative of a unit at one input, by products with vectors.

use super::blocks::Blocks;
use super::evaluations::{Evaluations, check_like, value_of};
use super::local::{detach, vjp_of_input};
use crate::error::{Error, Result};
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Evaluation, Field, Scheme, State, sweep};
use burn::tensor::{DType, Tensor};
use std::sync::Arc;

/// A unit, linearised at the states of some images, in [`Phase::Inference`]: norms use their running statistics, nothing
/// is dropped. It keeps the state before every block. No Jacobian is ever formed.
///
/// [`Unit::linearized`](crate::network::Unit::linearized) makes one.
#[derive(Debug)]
pub struct Linearized<R: Residual> {
    residuals: Vec<R>,
    scheme: Arc<dyn Scheme>,
    evaluations: Evaluations,
    /// The states before every block.
    states: Vec<State>,
    /// The state after the last one.
    last: State,
    /// By block, the arguments of its residuals in the order of their evaluation.
    arguments: Vec<Vec<Tensor<4>>>,
}

impl<R: Residual> Linearized<R> {
    /// The blocks at `input`, outside any graph.
    pub(crate) fn of(blocks: &Blocks<'_, R>, input: Tensor<4>) -> Result<Self> {
        let mut evaluations = blocks.evaluations(Phase::Inference);
        let residuals = detach(blocks.residuals);
        let mut last = sweep::open(blocks.scheme.as_ref(), input.inner());
        let (mut states, mut arguments) = (Vec::new(), Vec::new());
        for block in 0..blocks.count() {
            states.push(last.clone());
            let mut own = Vec::new();
            let block = sweep::Block { scheme: blocks.scheme.as_ref(), block, grid: None };
            last = block.step(last, &mut |evaluation, x| {
                own.push(x.clone());
                evaluations.first_value(&residuals[evaluation.residual], evaluation, x)
            })?;
            arguments.push(own);
        }
        let scheme = Arc::clone(blocks.scheme);
        Ok(Self { residuals, scheme, evaluations, states, last, arguments })
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.arguments.len()
    }

    /// The unit's output.
    pub fn output(&self) -> Tensor<4> {
        sweep::close(self.scheme.as_ref(), self.last.clone())
    }

    /// Φv, with Φ the derivative of the unit's output with respect to its input. `see` is called with the derivative of
    /// the output after as many blocks, from 0 on: of (Y, Z), or of X.
    ///
    /// # Errors
    /// [`Error::Residual`] and [`Error::Config`] as [`Unit::forward`](crate::network::Unit::forward).
    pub fn apply(&self, v: Tensor<4>, see: &mut dyn FnMut(&Tensor<4>)) -> Result<Tensor<4>> {
        let scheme = self.scheme.as_ref();
        let mut tangent = sweep::open(scheme, v);
        see(&sweep::close(scheme, tangent.clone()));
        for (block, arguments) in self.arguments.iter().enumerate() {
            tangent = self.block(block).step(tangent, &mut |evaluation, v| {
                self.jvp(evaluation, &arguments[evaluation.stage], v)
            })?;
            see(&sweep::close(scheme, tangent.clone()));
        }
        Ok(sweep::close(scheme, tangent))
    }

    /// Φᵀw, see [`apply`](Self::apply).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn adjoint(&self, w: Tensor<4>) -> Result<Tensor<4>> {
        let scheme = self.scheme.as_ref();
        let mut gradient = sweep::close_gradient(scheme, w);
        let mut after = self.last.clone();
        for (block, known) in self.states.iter().enumerate().rev() {
            // The value is used inside a block only: the state before it is known.
            let inside = scheme.updates(block).len() > 1;
            let value = &mut |evaluation, x| self.value(evaluation, x);
            let vjp = &mut |evaluation, x: Tensor<4>, v| {
                let product = self.vjp(evaluation, &x, v)?;
                Ok((if inside { self.value(evaluation, x)? } else { x }, product))
            };
            let known = Some(known.clone());
            let block = self.block(block);
            (after, gradient) = block.unstep_with_gradient(after, known, gradient, value, vjp)?;
        }
        Ok(sweep::open_gradient(scheme, gradient))
    }

    fn block(&self, block: usize) -> sweep::Block<'_> {
        sweep::Block { scheme: self.scheme.as_ref(), block, grid: None }
    }

    fn value(&self, evaluation: Evaluation, x: Tensor<4>) -> Result<Tensor<4>> {
        self.evaluations.value_again(&self.residuals[evaluation.residual], evaluation, x)
    }

    /// The shape of the vectors that [`field`](Self::field) maps at block `block`: (Y, Z) like the input of the unit; X
    /// likewise; or (X, Ẋ), with twice as many channels. `None` if there is no such block, or if
    /// the scheme does not tell its [field](Scheme::field).
    pub fn field_shape(&self, block: usize) -> Option<[usize; 4]> {
        let [images, channels, height, width] = self.states.get(block)?.second.dims();
        let parts = if self.scheme.field(block)?.has_two_parts() { 2 } else { 1 };
        Some([images, parts * channels, height, width])
    }

    /// Whether these vectors consist of two halves, (Y, Z) or (X, Ẋ).
    pub fn field_has_halves(&self, block: usize) -> bool {
        self.scheme.field(block).is_some_and(Field::has_two_parts)
    }

    /// Jv, with J the Jacobian of the right-hand side at the state before block `block`, see [`Field`]; the shape is
    /// [`field_shape`](Self::field_shape).
    ///
    /// # Errors
    /// [`Error::Input`] if there is no such block; otherwise as [`apply`](Self::apply).
    pub fn field(&self, block: usize, v: Tensor<4>) -> Result<Tensor<4>> {
        self.by_field(block, v, |field, state, v| {
            field.apply(state, v, &mut |evaluation, x, v| self.jvp(evaluation, x, v))
        })
    }

    /// Jᵀw, see [`field`](Self::field).
    ///
    /// # Errors
    /// As [`field`](Self::field).
    pub fn field_adjoint(&self, block: usize, w: Tensor<4>) -> Result<Tensor<4>> {
        self.by_field(block, w, |field, state, w| {
            field.adjoint(state, w, &mut |evaluation, x, v| self.vjp(evaluation, x, v))
        })
    }

    /// Splits a vector into the parts of a state, maps them by `map` and joins them.
    fn by_field(
        &self,
        block: usize,
        v: Tensor<4>,
        map: impl Fn(Field, &State, State) -> Result<State>,
    ) -> Result<Tensor<4>> {
        let found = self.states.get(block).zip(self.scheme.field(block));
        let (state, field) = found.ok_or_else(|| Error::Input {
            found: format!("block {block}"),
            expected: format!(
                "one of the {} blocks, of a scheme that tells its ODE",
                self.blocks()
            ),
        })?;
        let two = field.has_two_parts();
        let v = match two {
            true => State::split(v),
            false => State { first: v.clone(), second: v },
        };
        let found = map(field, state, v)?;
        Ok(if two { found.joined() } else { found.second })
    }

    /// F′(x)v of a residual, unscaled.
    fn jvp(&self, evaluation: Evaluation, x: &Tensor<4>, v: Tensor<4>) -> Result<Tensor<4>> {
        let residual = &self.residuals[evaluation.residual];
        self.evaluations.again(evaluation, |pass, survival| {
            let factor = survival.factor();
            let name = self.evaluations.name::<R>(evaluation.residual);
            let value = |x| value_of((residual, &name), evaluation.role, x, pass);
            let jvp = match residual.jvp(evaluation.role, x, &v, pass) {
                Some(jvp) => jvp,
                None => central_difference(x, v, value)?,
            };
            check_like(&name, "its jvp returned", &jvp, (x.dims(), x.dtype()))?;
            Ok(jvp * factor)
        })
    }

    /// F′(x)ᵀv of a residual, unscaled.
    fn vjp(&self, evaluation: Evaluation, x: &Tensor<4>, v: Tensor<4>) -> Result<Tensor<4>> {
        let residual = &self.residuals[evaluation.residual];
        self.evaluations.again(evaluation, |pass, survival| {
            vjp_of_input(residual, evaluation.role, x.clone(), v, (pass, survival))
        })
    }
}

/// (f(x + εv) − f(x − εv))/(2ε), where ε balances the error of the formula, ε², and that of rounding. In f64 the relative
/// error is about 1e-10 where f is smooth.
///
/// # Errors
/// Those of f.
pub(crate) fn central_difference(
    x: &Tensor<4>,
    v: Tensor<4>,
    f: impl Fn(Tensor<4>) -> Result<Tensor<4>>,
) -> Result<Tensor<4>> {
    let root = if x.dtype() == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }.cbrt();
    let size = |x: &Tensor<4>| x.clone().abs().mean();
    let epsilon = (size(x) + 1.0) * root / size(&v).clamp_min(f64::from(f32::MIN_POSITIVE));
    let epsilon: Tensor<4> = epsilon.reshape([1, 1, 1, 1]);
    let moved = v * epsilon.clone();
    Ok((f(x.clone() + moved.clone())? - f(x.clone() - moved)?) / (epsilon * 2.0))
}
