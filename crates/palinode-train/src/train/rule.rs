//! How one parameter is updated: one of Burn's optimisers, and what it remembers about the parameter.

use crate::error::{Error, Result};
use crate::recipe::{Decayed, OptimizerName, OptimizerRecipe};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdamWConfig, AdjustLrFn, MuonConfig, Optimizer, RecordState, SgdConfig, StateSink, StateSource,
};
use burn::tensor::{Device, Tensor, TensorData};
use palinode::network::weights::Slot;
use std::collections::BTreeMap;

/// An array that a rule remembers, as large as the parameter: its name here, and Burn's name for it.
pub(super) type Field = (&'static str, &'static str);

/// What SGD and Muon remember.
const VELOCITY: &[Field] = &[("momentum", "momentum.velocity")];
/// What AdamW remembers, beside the number of steps.
const MOMENTS: &[Field] = &[("moment_1", "momentum.moment_1"), ("moment_2", "momentum.moment_2")];
/// Burn's name for the number of steps.
const TIME: &str = "momentum.time";

/// A rule for one parameter, whichever optimiser it is.
pub(super) trait Rule: Send {
    /// The weights after a step at learning rate `rate`, flat.
    fn step(&mut self, rate: f64, weight: Tensor<1>, gradient: Tensor<1>) -> Tensor<1>;

    /// What it remembers after the first step.
    fn fields(&self) -> &'static [Field];

    /// The values of every field; none before the first step.
    fn state(&self) -> Result<Vec<(&'static str, Vec<f32>)>>;

    /// Continues after `steps` steps with the values of every field.
    fn restore(
        &mut self,
        values: BTreeMap<&'static str, Vec<f32>>,
        steps: u64,
        device: &Device,
    ) -> Result<()>;
}

/// The rule that `recipe` has for the parameter `slot`.
pub(super) fn rule_for(recipe: &OptimizerRecipe, slot: &Slot) -> Box<dyn Rule> {
    let decays = slot.is_kernel() || recipe.decayed == Decayed::All;
    let decay = if decays { recipe.weight_decay as f32 } else { 0.0 };
    let decay_config = || (decay > 0.0).then(|| WeightDecayConfig::new(decay));
    let momentum = MomentumConfig { momentum: recipe.momentum, dampening: 0.0, nesterov: false };
    let length: usize = slot.shape.iter().product();
    match (recipe.name, slot.shape.as_slice()) {
        (OptimizerName::Sgd, _) => {
            let config =
                SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(decay_config());
            Kept::boxed(config.build(), [length], VELOCITY)
        }
        // Burn's Muon takes matrices: a row for each channel that the convolution puts out.
        (OptimizerName::Muon, &[rows, inputs, height, width]) if slot.trainable => {
            let config = MuonConfig::new()
                .with_momentum(MomentumConfig { nesterov: true, ..momentum })
                .with_weight_decay(decay_config())
                .with_adjust_lr_fn(AdjustLrFn::MatchRmsAdamW);
            Kept::boxed(config.build(), [rows, inputs * height * width], VELOCITY)
        }
        (OptimizerName::AdamW | OptimizerName::Muon, _) => {
            let [beta_1, beta_2] = recipe.betas.map(|beta| beta as f32);
            let config = AdamWConfig::new()
                .with_beta_1(beta_1)
                .with_beta_2(beta_2)
                .with_epsilon(recipe.epsilon as f32)
                .with_weight_decay(decay);
            Kept::boxed(config.build(), [length], MOMENTS)
        }
    }
}

/// Optimiser `O` on the parameter, seen as a tensor of `D` dimensions.
struct Kept<O: Optimizer, const D: usize> {
    optimizer: O,
    shape: [usize; D],
    fields: &'static [Field],
    /// `None` before the first step.
    state: Option<O::State<D>>,
}

impl<O: Optimizer, const D: usize> Kept<O, D> {
    fn boxed(optimizer: O, shape: [usize; D], fields: &'static [Field]) -> Box<dyn Rule> {
        Box::new(Self { optimizer, shape, fields, state: None })
    }
}

impl<O: Optimizer, const D: usize> Rule for Kept<O, D> {
    fn step(&mut self, rate: f64, weight: Tensor<1>, gradient: Tensor<1>) -> Tensor<1> {
        let (weight, gradient) = (weight.reshape(self.shape), gradient.reshape(self.shape));
        let (weight, state) = self.optimizer.step(rate, weight, gradient, self.state.take());
        self.state = state;
        weight.reshape([-1])
    }

    fn fields(&self) -> &'static [Field] {
        self.fields
    }

    fn state(&self) -> Result<Vec<(&'static str, Vec<f32>)>> {
        let Some(state) = &self.state else { return Ok(Vec::new()) };
        let mut sink = StateSink::default();
        state.state_flatten("", &mut sink);
        let named = sink.tensors.into_iter().map(|(burns, data)| {
            let field = self.fields.iter().find(|(_, known)| *known == burns);
            let (name, _) = field.ok_or_else(|| {
                let reason =
                    format!("Burn's state has the field `{burns}`, which is not known here");
                Error::config("optimizer", reason)
            })?;
            Ok((*name, numbers(data)?))
        });
        named.collect()
    }

    fn restore(
        &mut self,
        mut values: BTreeMap<&'static str, Vec<f32>>,
        steps: u64,
        device: &Device,
    ) -> Result<()> {
        let mut source = StateSource::new(BTreeMap::from([(TIME.to_owned(), steps.into())]));
        for (name, burns) in self.fields {
            let values = values.remove(name).ok_or_else(|| {
                Error::config("optimizer", format!("the values of `{name}` are missing"))
            })?;
            source.insert_tensor((*burns).to_owned(), TensorData::new(values, self.shape));
        }
        let state = O::State::<D>::state_unflatten("", &mut source, device);
        self.state = Some(state.ok_or_else(|| {
            Error::config("optimizer", "Burn's state needs more than is known here")
        })?);
        Ok(())
    }
}

/// The numbers of a tensor in f32.
pub(super) fn numbers(data: TensorData) -> Result<Vec<f32>> {
    data.convert::<f32>()
        .try_into_vec()
        .map_err(|error| Error::config("optimizer", format!("a tensor cannot be read: {error}")))
}
