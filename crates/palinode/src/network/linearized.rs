//! The derivative of a network's units and of what is between them.

use super::classifier::Network;
use super::transition::Transition;
use super::unit::Unit;
use crate::error::Result;
use crate::pass::{Pass, Phase};
use crate::residual::Residual;
use crate::reversible::{Linearized, central_difference};
use burn::tensor::Tensor;

/// A network, linearised at the states of some images, from the input of its first unit to the output of its last, in
/// [`Phase::Inference`].
#[derive(Debug)]
pub struct LinearizedNetwork<'a, R: Residual> {
    network: &'a Network<R>,
    /// The units and their outputs.
    units: Vec<Linearized<R>>,
}

impl<R: Residual> Network<R> {
    /// The derivative of its units at `images`, see [`forward`](Self::forward) for their shape. A network
    /// [in f64](super::weights::in_f64) gives the best figures.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn linearized(&self, images: Tensor<4>) -> Result<LinearizedNetwork<'_, R>> {
        let mut units = Vec::new();
        self.forward_past(images, Phase::Inference, &mut |unit: &Unit<R>, input| {
            units.push(unit.linearized(input.clone())?);
            Ok(())
        })?;
        Ok(LinearizedNetwork { network: self, units })
    }
}

impl<R: Residual> LinearizedNetwork<'_, R> {
    /// The units.
    pub fn units(&self) -> &[Linearized<R>] {
        &self.units
    }

    /// The derivative of the last unit's output along `v`, a change of the first unit's input. `see` is called with the
    /// index of a unit and the derivative of its state, before its first block and after every one.
    ///
    /// # Errors
    /// As [`Linearized::apply`].
    pub fn apply(&self, v: Tensor<4>, see: &mut dyn FnMut(usize, &Tensor<4>)) -> Result<Tensor<4>> {
        self.units.iter().enumerate().try_fold(v, |v, (index, unit)| {
            let v = if index > 0 { self.between(index, v)? } else { v };
            unit.apply(v, &mut |state| see(index, state))
        })
    }

    /// The adjoint of [`apply`](Self::apply): the gradient of ⟨w, output⟩ with respect to the first unit's input.
    ///
    /// # Errors
    /// As [`Linearized::apply`].
    pub fn adjoint(&self, w: Tensor<4>) -> Result<Tensor<4>> {
        self.units.iter().enumerate().rev().try_fold(w, |w, (index, unit)| {
            let w = unit.adjoint(w)?;
            if index == 0 {
                return Ok(w);
            }
            let x = self.units[index - 1].output().autodiff().require_grad();
            let output = self.before(index, x.clone())?;
            let gradients = (output * w.autodiff()).sum().backward();
            Ok(x.grad(&gradients).unwrap_or_else(|| x.inner().zeros_like()))
        })
    }

    /// The input of unit `index` from the output of the unit before it.
    fn before(&self, index: usize, x: Tensor<4>) -> Result<Tensor<4>> {
        let outside = Pass::new(Phase::Inference, self.network.context());
        match &self.network.entries[index] {
            Some(entry) => entry.forward(x, &outside),
            None => Ok(Transition::to(&self.network.config, index).apply(x, &outside)),
        }
    }

    /// The derivative of what comes before unit `index`: of a transition, which is linear, or of a baseline's first block, by
    /// central differences.
    fn between(&self, index: usize, v: Tensor<4>) -> Result<Tensor<4>> {
        if self.network.entries[index].is_none() {
            return self.before(index, v);
        }
        let x = self.units[index - 1].output();
        central_difference(&x, v, |x| self.before(index, x))
    }
}
