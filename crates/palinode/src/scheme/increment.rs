//! The increment of a Runge–Kutta step, and its gradient.

use super::evaluation::{Differentiate, Evaluate, Evaluation};
use super::update::Increment;
use crate::error::Result;
use burn::tensor::Tensor;

impl Increment {
    /// f·Ψ(x). Its evaluations are numbered from `stage`.
    ///
    /// # Errors
    /// Any error of `value`.
    pub(super) fn value(
        self,
        x: Tensor<4>,
        stage: usize,
        value: &mut Evaluate<'_>,
    ) -> Result<Tensor<4>> {
        let (_, slopes) = self.stages(x, stage, self.method.stages(), value)?;
        Ok(self.sum(&slopes))
    }

    /// f·Ψ(x) and its Jacobian's adjoint times `cotangent`.
    ///
    /// # Errors
    /// Any error of `value` and `vjp`.
    pub(super) fn vjp(
        self,
        x: Tensor<4>,
        cotangent: &Tensor<4>,
        stage: usize,
        (value, vjp): (&mut Evaluate<'_>, &mut Differentiate<'_>),
    ) -> Result<(Tensor<4>, Tensor<4>)> {
        let (method, s) = (self.method, self.term.scale);
        let last = method.stages() - 1;
        // The last slope comes with its gradient.
        let (mut arguments, mut slopes) = self.stages(x, stage, last, value)?;
        // The gradient with respect to every slope, and what has been found of that with respect to x.
        let mut cotangents: Vec<Tensor<4>> =
            method.b().iter().map(|b| cotangent.clone() * (self.factor * s * b)).collect();
        let mut gradient: Option<Tensor<4>> = None;
        for index in (0..=last).rev() {
            let Some(argument) = arguments.pop() else { break };
            let evaluation = Evaluation::of(self.term, stage + index);
            let (slope, product) = vjp(evaluation, argument, cotangents[index].clone())?;
            if index == last {
                slopes.push(slope);
            }
            for (cotangent, a) in cotangents.iter_mut().zip(method.a()[index]) {
                if *a != 0.0 {
                    *cotangent = cotangent.clone() + product.clone() * (s * a);
                }
            }
            gradient = Some(match gradient {
                Some(sum) => sum + product,
                None => product,
            });
        }
        let gradient = gradient.unwrap_or_else(|| cotangent.zeros_like());
        Ok((self.sum(&slopes), gradient))
    }

    /// The arguments of all stages, and the slopes k of the first `count` of them.
    fn stages(
        self,
        x: Tensor<4>,
        stage: usize,
        count: usize,
        value: &mut Evaluate<'_>,
    ) -> Result<(Vec<Tensor<4>>, Vec<Tensor<4>>)> {
        let (mut arguments, mut slopes): (Vec<Tensor<4>>, Vec<Tensor<4>>) = Default::default();
        for (index, row) in self.method.a().iter().enumerate() {
            let terms = row.iter().zip(&slopes).filter(|(a, _)| **a != 0.0);
            let argument = terms
                .fold(x.clone(), |sum, (a, slope)| sum + slope.clone() * (self.term.scale * a));
            if index < count {
                slopes.push(value(Evaluation::of(self.term, stage + index), argument.clone())?);
            }
            arguments.push(argument);
        }
        Ok((arguments, slopes))
    }

    fn sum(self, slopes: &[Tensor<4>]) -> Tensor<4> {
        let factor = self.factor * self.term.scale;
        let terms = self.method.b().iter().zip(slopes).filter(|(b, _)| **b != 0.0);
        let sum = terms.map(|(b, slope)| slope.clone() * (factor * b)).reduce(|a, b| a + b);
        sum.unwrap_or_else(|| slopes[0].zeros_like())
    }
}
