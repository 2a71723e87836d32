//! SGD with momentum, kept by the parameters' names.
//!
//! Burn's own optimiser numbers its state by random ids and writes it in hash order; runs that must
//! continue byte for byte need neither.

use crate::recipe::{Decayed, OptimizerRecipe};
use crate::train::smoothness::{Smoothness, SmoothnessKind, SmoothnessRecipe};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use palinode::Result;
use palinode::network::Network;
use palinode::network::weights::{Arrays, Names, Slot};
use palinode::residual::Residual;

/// SGD with momentum μ, no dampening, and weight decay λ:
/// g ← g + λw, v ← μv + g, w ← w − η·v, as PyTorch has it.
#[derive(Debug)]
pub struct Sgd {
    recipe: OptimizerRecipe,
    names: Names,
    /// v of each slot, flat; `None` before the first step.
    velocity: Vec<Option<Tensor<1>>>,
    smoothness: Option<Smoothness>,
}

impl Sgd {
    /// No velocity yet.
    pub fn new<R: Residual>(recipe: &OptimizerRecipe, network: &Network<R>) -> Self {
        let names = Names::of(network);
        let velocity = names.slots.iter().map(|_| None).collect();
        Self { recipe: recipe.clone(), names, velocity, smoothness: None }
    }

    /// With a penalty on rough weights added to the loss.
    pub fn with_smoothness<R: Residual>(
        mut self,
        recipe: SmoothnessRecipe,
        network: &Network<R>,
    ) -> Self {
        let wanted = recipe.kind != SmoothnessKind::None;
        self.smoothness = wanted.then(|| Smoothness::of(recipe, network));
        self
    }

    /// One step at learning rate `rate`; parameters that want no gradient stay as they are.
    pub fn step<R: Residual>(
        &mut self,
        network: Network<R>,
        gradients: &mut Gradients,
        rate: f64,
    ) -> Network<R> {
        let mut taken = Take { gradients, taken: Vec::with_capacity(self.velocity.len()) };
        network.visit(&mut taken);
        let mut gradients = taken.taken;
        if let Some(smoothness) = &mut self.smoothness {
            let mut weights = Flat(Vec::with_capacity(gradients.len()));
            network.visit(&mut weights);
            smoothness.add_gradient(&weights.0, &mut gradients);
        }
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
        self.named(&self.velocity)
    }

    /// The weights before the previous step, which smoothness across steps compares with; empty where
    /// nothing does.
    pub fn previous_weights(&self) -> Arrays {
        self.smoothness.as_ref().map_or_else(Arrays::new, |s| self.named(s.previous()))
    }

    /// Continues with velocities that [`arrays`](Self::arrays), and weights that
    /// [`previous_weights`](Self::previous_weights) gave.
    ///
    /// # Errors
    /// [`Error::Config`] where they do not fit the network.
    pub fn restore(&mut self, velocity: &Arrays, previous: &Arrays, device: &Device) -> Result<()> {
        if let Some(flat) = self.flat("momentum", velocity, device)? {
            let slots = self.names.slots.iter();
            self.velocity =
                flat.into_iter().zip(slots).map(|(v, s)| s.trainable.then_some(v)).collect();
        }
        if let Some(flat) = self.flat("previous", previous, device)?
            && let Some(smoothness) = &mut self.smoothness
        {
            smoothness.restore(flat);
        }
        Ok(())
    }

    /// One vector per slot as arrays, zeros for one that is missing; none where all are.
    fn named(&self, vectors: &[Option<Tensor<1>>]) -> Arrays {
        if vectors.iter().all(Option::is_none) {
            return Arrays::new();
        }
        let flat = vectors.iter().zip(&self.names.slots).map(|(vector, slot)| {
            let zeros = || vec![0.0; slot.shape.iter().product()];
            let values = vector.clone().map(|v| v.into_data().try_to_vec().unwrap_or_default());
            values.unwrap_or_else(zeros)
        });
        self.names.stack(flat.collect())
    }

    /// The other way round.
    fn flat(&self, what: &str, arrays: &Arrays, device: &Device) -> Result<Option<Vec<Tensor<1>>>> {
        if arrays.is_empty() {
            return Ok(None);
        }
        let flat = self.names.unstack(what, arrays)?;
        let tensors = flat.into_iter().map(|values| {
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), device)
        });
        Ok(Some(tensors.collect()))
    }
}

/// All weights, flat and outside the graph, in the order of a visit.
struct Flat(Vec<Tensor<1>>);

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().inner().reshape([-1]));
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
        let weight = param.val();
        let gradient = weight.grad_remove(self.gradients);
        // A parameter that took no part in this step (a block left out by stochastic depth) has the
        // gradient zero, in every mode of differentiation alike.
        let gradient =
            gradient.or_else(|| weight.is_require_grad().then(|| weight.inner().zeros_like()));
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
