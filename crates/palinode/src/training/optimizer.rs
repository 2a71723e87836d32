//! SGD with momentum, kept by the parameters' names.
//!
//! Burn's own optimiser numbers its state by random ids and writes it in hash order; runs that must
//! continue byte for byte need neither.

use super::recipe::{Decayed, OptimizerRecipe};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::network::weights::{Arrays, Names, Slot};
use crate::residual::Residual;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// SGD with momentum μ, no dampening, and weight decay λ:
/// g ← g + λw, v ← μv + g, w ← w − η·v, as PyTorch has it.
#[derive(Debug)]
pub struct Sgd {
    recipe: OptimizerRecipe,
    names: Names,
    /// v of each slot, flat; `None` before the first step.
    velocity: Vec<Option<Tensor<1>>>,
}

impl Sgd {
    /// No velocity yet.
    pub fn new<R: Residual>(recipe: &OptimizerRecipe, network: &Network<R>) -> Self {
        let names = Names::of(network);
        let velocity = names.slots.iter().map(|_| None).collect();
        Self { recipe: recipe.clone(), names, velocity }
    }

    /// One step at learning rate `rate`; parameters without a gradient stay as they are.
    pub fn step<R: Residual>(
        &mut self,
        network: Network<R>,
        gradients: &mut Gradients,
        rate: f64,
    ) -> Network<R> {
        let mut taken = Take { gradients, taken: Vec::with_capacity(self.velocity.len()) };
        network.visit(&mut taken);
        let mut gradients = taken.taken;
        clip(&mut gradients, self.recipe.clip_norm);
        let mut update = Update {
            recipe: &self.recipe,
            slots: self.names.slots.iter(),
            gradients: gradients.into_iter(),
            velocity: self.velocity.iter_mut(),
            rate,
        };
        network.map(&mut update)
    }

    /// The velocities by the parameters' names; empty before the first step.
    pub fn arrays(&self) -> Arrays {
        if self.velocity.iter().all(Option::is_none) {
            return Arrays::new();
        }
        let flat = self.velocity.iter().zip(&self.names.slots).map(|(velocity, slot)| {
            let zeros = || vec![0.0; slot.shape.iter().product()];
            let values = velocity.clone().map(|v| v.into_data().try_to_vec().unwrap_or_default());
            values.unwrap_or_else(zeros)
        });
        self.names.stack(flat.collect())
    }

    /// Continues with velocities that [`arrays`](Self::arrays) gave.
    ///
    /// # Errors
    /// [`Error::Config`] where they do not fit the network.
    pub fn restore(&mut self, arrays: &Arrays, device: &Device) -> Result<()> {
        if arrays.is_empty() {
            return Ok(());
        }
        let flat =
            self.names.unstack(arrays).map_err(|reason| Error::config("momentum", reason))?;
        let slots = self.names.slots.iter();
        for ((velocity, values), slot) in self.velocity.iter_mut().zip(flat).zip(slots) {
            let length = values.len();
            *velocity = slot
                .trainable
                .then(|| Tensor::from_data(TensorData::new(values, [length]), device));
        }
        Ok(())
    }
}

/// Scales all gradients so that their common norm is at most `limit` (0: no limit).
fn clip(gradients: &mut [Option<Tensor<1>>], limit: f64) {
    if limit == 0.0 {
        return;
    }
    let squares: f64 = gradients
        .iter()
        .flatten()
        .map(|gradient| gradient.clone().powi_scalar(2).sum().into_scalar::<f64>())
        .sum();
    let norm = squares.sqrt();
    if norm > limit {
        for gradient in gradients.iter_mut().flatten() {
            *gradient = gradient.clone() * (limit / norm);
        }
    }
}

/// Takes the parameters' gradients out of a backward pass, flat, in the order of a visit.
struct Take<'a> {
    gradients: &'a mut Gradients,
    taken: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad_remove(self.gradients);
        self.taken.push(gradient.map(|gradient| gradient.reshape([-1])));
    }
}

struct Update<'a> {
    recipe: &'a OptimizerRecipe,
    slots: std::slice::Iter<'a, Slot>,
    gradients: std::vec::IntoIter<Option<Tensor<1>>>,
    velocity: std::slice::IterMut<'a, Option<Tensor<1>>>,
    rate: f64,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (Some(slot), Some(gradient), Some(velocity)) =
            (self.slots.next(), self.gradients.next(), self.velocity.next())
        else {
            return param;
        };
        let Some(gradient) = gradient else { return param };
        let decays = slot.is_kernel() || self.recipe.decayed == Decayed::All;
        param.map(|weight| {
            let required = weight.is_require_grad();
            let shape = weight.shape();
            let weight: Tensor<1> = weight.inner().reshape([-1]);
            let gradient = if decays && self.recipe.weight_decay > 0.0 {
                gradient + weight.clone() * self.recipe.weight_decay
            } else {
                gradient
            };
            let moved = match velocity.take() {
                Some(velocity) => velocity * self.recipe.momentum + gradient,
                None => gradient,
            };
            *velocity = Some(moved.clone());
            let weight = weight - moved * self.rate;
            weight.reshape(shape).autodiff().set_require_grad(required)
        })
    }
}
