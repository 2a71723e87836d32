//! Burn's optimisers, with their state under the parameters' names.
//!
//! Burn's own `ModuleOptimizer` numbers its state by random ids and writes it in the order of a hash
//! map. A run that must continue byte for byte needs neither, so each parameter is stepped here by
//! Burn's `Optimizer`, and its state is saved as an array with the parameter's name.

use super::gradients::ParameterGradients;
use super::rule::{Rule, numbers, rule_for};
use super::smoothness::Smoothness;
use crate::error::{Error, Result};
use crate::recipe::{OptimizerName, OptimizerRecipe, SmoothnessKind, SmoothnessRecipe};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use palinode::memory::free_orphans;
use palinode::network::Network;
use palinode::network::weights::{Arrays, Names, flat};
use palinode::residual::Residual;
use std::collections::BTreeMap;
use std::fmt;

/// The field of the weights before the previous step, which smoothness across steps compares with.
const PREVIOUS: &str = "previous";

/// An optimiser of all parameters of a network.
///
/// * [`step`](Self::step): network, gradients, learning rate → network
/// * [`state`](Self::state) and [`restore`](Self::restore): what it remembers, as named arrays
///
/// A step adds the gradient of the [smoothness](SmoothnessRecipe) penalty, limits the norm of the
/// gradient, applies weight decay and updates the weights, in this order.
pub struct NetworkOptimizer {
    name: OptimizerName,
    clip_norm: f64,
    names: Names,
    /// One per slot of `names`.
    rules: Vec<Box<dyn Rule>>,
    /// Whether the slot's parameter is trained.
    trained: Vec<bool>,
    smoothness: Option<Smoothness>,
    steps: u64,
}

impl fmt::Debug for NetworkOptimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkOptimizer")
            .field("name", &self.name)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl NetworkOptimizer {
    /// An optimiser before its first step.
    pub fn new<R: Residual>(recipe: &OptimizerRecipe, network: &Network<R>) -> Self {
        struct Trained(Vec<bool>);
        impl ModuleVisitor for Trained {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.push(param.val().is_require_grad());
            }
        }
        let names = Names::of(network);
        let mut trained = Trained(Vec::with_capacity(names.slots.len()));
        network.visit(&mut trained);
        Self {
            name: recipe.name,
            clip_norm: recipe.clip_norm,
            rules: names.slots.iter().map(|slot| rule_for(recipe, slot)).collect(),
            names,
            trained: trained.0,
            smoothness: None,
            steps: 0,
        }
    }

    /// Adds a penalty on rough weights to the loss.
    #[must_use]
    pub fn with_smoothness<R: Residual>(
        mut self,
        recipe: SmoothnessRecipe,
        network: &Network<R>,
    ) -> Self {
        let wanted = recipe.kind != SmoothnessKind::None;
        self.smoothness = wanted.then(|| Smoothness::of(recipe, network));
        self
    }

    /// Which optimiser it is.
    pub fn name(&self) -> OptimizerName {
        self.name
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// One step at learning rate `rate`. Parameters without a gradient stay as they are. Where the norm of the
    /// gradient is limited, the norm before that is returned too, `[1]`, still on the device. If it is not finite,
    /// the step is invalid, and the caller must refuse it.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where the gradients are another network's.
    pub fn step<R: Residual>(
        &mut self,
        network: Network<R>,
        mut gradients: ParameterGradients,
        rate: f64,
    ) -> Result<(Network<R>, Option<Tensor<1>>)> {
        let (found, expected) = (gradients.as_slice().len(), self.rules.len());
        if found != expected {
            let reason = format!("{found} gradients for {expected} parameters");
            return Err(Error::config("gradient", reason));
        }
        if let Some(smoothness) = &mut self.smoothness {
            smoothness.add_gradient(&flat(&network), gradients.as_mut_slice());
        }
        let norm = gradients.clip(self.clip_norm);
        let gradients = gradients.into_vec().into_iter();
        let mut update = Update { rules: self.rules.iter_mut().zip(gradients), rate };
        let network = network.map(&mut update);
        free_orphans();
        self.steps += 1;
        Ok((network, norm))
    }

    /// What it remembers, by field and parameter: `momentum.stem.weight`, `moment_1.head.bias`. Empty
    /// before the first step.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where Burn's state is not what is known here.
    pub fn state(&self) -> Result<Arrays> {
        let mut fields: BTreeMap<&str, Vec<Option<Vec<f32>>>> = BTreeMap::new();
        let mut put = |field, slot: usize, values| {
            let slots = fields.entry(field).or_insert_with(|| vec![None; self.rules.len()]);
            slots[slot] = Some(values);
        };
        for (slot, rule) in self.rules.iter().enumerate() {
            for (field, values) in rule.state()? {
                put(field, slot, values);
            }
        }
        let previous = self.smoothness.iter().flat_map(|smoothness| smoothness.previous());
        for (slot, weights) in previous.enumerate() {
            if let Some(weights) = weights {
                put(PREVIOUS, slot, numbers(weights.clone().into_data())?);
            }
        }
        let mut arrays = Arrays::new();
        for (field, values) in fields {
            let named = self.stack(values).into_iter();
            arrays.extend(named.map(|(name, array)| (format!("{field}.{name}"), array)));
        }
        Ok(arrays)
    }

    /// Continues after `steps` steps with what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] naming the first array that is missing, unknown or of another shape.
    pub fn restore(&mut self, state: &Arrays, steps: u64, device: &Device) -> Result<()> {
        let mut rest = state.clone();
        if steps > 0 {
            let mut values: Vec<BTreeMap<&'static str, Vec<f32>>> =
                vec![BTreeMap::new(); self.rules.len()];
            for field in self.fields() {
                let needed = self.rules.iter().zip(&self.trained);
                let needed = needed.map(|(rule, &trained)| {
                    trained && rule.fields().iter().any(|&(known, _)| known == field)
                });
                let needed: Vec<bool> = needed.collect();
                let found = self.unstack(field, &needed, &mut rest)?;
                for (slot, found) in found.into_iter().enumerate().filter(|(slot, _)| needed[*slot])
                {
                    values[slot].insert(field, found);
                }
            }
            for ((rule, values), _) in self
                .rules
                .iter_mut()
                .zip(values)
                .zip(&self.trained)
                .filter(|(_, trained)| **trained)
            {
                rule.restore(values, steps, device)?;
            }
            if let Some(needed) = self.smoothness.as_ref().map(Smoothness::remembered) {
                let found = self.unstack(PREVIOUS, &needed, &mut rest)?.into_iter();
                let tensors = found.zip(needed).map(|(values, needed)| {
                    let length = values.len();
                    needed.then(|| Tensor::from_data(TensorData::new(values, [length]), device))
                });
                let tensors = tensors.collect();
                if let Some(smoothness) = &mut self.smoothness {
                    smoothness.restore(tensors);
                }
            }
        }
        if let Some(name) = rest.keys().next() {
            let name = format!("array `{name}` is not part of the state of {}", self.name.name());
            return Err(Error::config("optimizer", name));
        }
        self.steps = steps;
        Ok(())
    }

    /// The fields of all rules.
    fn fields(&self) -> Vec<&'static str> {
        let mut fields: Vec<&str> =
            self.rules.iter().flat_map(|rule| rule.fields()).map(|&(field, _)| field).collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// Arrays of the slots that have values, zeros for single slots of an array that have none.
    fn stack(&self, values: Vec<Option<Vec<f32>>>) -> Arrays {
        let length = |slot: usize| self.names.slots[slot].shape.iter().product::<usize>();
        let marks = values.iter().enumerate().map(|(slot, values)| {
            let mark = if values.is_some() { 1.0 } else { 0.0 };
            vec![mark; length(slot)]
        });
        let marks = self.names.stack(marks.collect());
        let values = values.into_iter().enumerate();
        let values = values.map(|(slot, v)| v.unwrap_or_else(|| vec![0.0; length(slot)])).collect();
        let mut arrays = self.names.stack(values);
        arrays.retain(|name, _| marks[name].values.contains(&1.0));
        arrays
    }

    /// The other way round: takes the arrays `field.…` of the needed slots out of `state`. Other slots
    /// get zeros.
    fn unstack(&self, field: &str, needed: &[bool], state: &mut Arrays) -> Result<Vec<Vec<f32>>> {
        let zeros = |slot: usize| vec![0.0; self.names.slots[slot].shape.iter().product::<usize>()];
        let expected = needed.iter().enumerate().map(|(slot, needed)| needed.then(|| zeros(slot)));
        let expected = self.stack(expected.collect());
        let mut arrays = self.names.stack((0..needed.len()).map(zeros).collect());
        for name in expected.into_keys() {
            let full = format!("{field}.{name}");
            let array = state.remove(&full).ok_or_else(|| {
                Error::config("optimizer", format!("array `{full}` is missing from the state"))
            })?;
            arrays.insert(name, array);
        }
        Ok(self.names.unstack(&format!("optimizer, {field}"), &arrays)?)
    }
}

/// Steps every parameter that has a gradient.
struct Update<I> {
    rules: I,
    rate: f64,
}

impl<'a, I> ModuleMapper for Update<I>
where
    I: Iterator<Item = (&'a mut Box<dyn Rule>, Option<Tensor<1>>)>,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // There are as many rules as parameters. A parameter without a gradient is not trained.
        let Some((rule, Some(gradient))) = self.rules.next() else { return param };
        param.map(|weight| {
            let required = weight.is_require_grad();
            let shape = weight.shape();
            let weight = rule.step(self.rate, weight.inner().reshape([-1]), gradient);
            weight.reshape(shape).autodiff().set_require_grad(required)
        })
    }
}
