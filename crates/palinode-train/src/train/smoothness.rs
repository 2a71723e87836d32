//! Weight smoothness: across depth, or from one optimiser step to the next.

use crate::recipe::{SmoothnessKind, SmoothnessRecipe};
use burn::tensor::Tensor;
use palinode::network::Network;
use palinode::network::weights::{Names, Slot};
use palinode::residual::Residual;
use std::collections::BTreeMap;

/// The penalty and its gradient.
///
/// * depth: λ/(2h) Σ ‖θ_{j+1} − θ_j‖²_F over consecutive blocks j of one unit, layer by layer (K₁ with
///   K₁, K₂ with K₂), but not from one unit to the next. This is λ/2 ∫‖dθ/dt‖² dt on the grid of step
///   h. The gradient is λ/h (2θ_j − θ_{j−1} − θ_{j+1}), with one neighbour less at the ends.
/// * step: λ Σ ‖W_t − W_{t−1}‖²_F over all weights. W_{t−1} are the weights before the previous
///   optimiser step and count as constants. The gradient is 2λ(W_t − W_{t−1}), zero at the first step.
///
/// Sources: Chang et al. 2018, "weight smoothness decay"; the report, "Implementation".
#[derive(Debug)]
pub struct Smoothness {
    recipe: SmoothnessRecipe,
    /// λ/h.
    rate: f64,
    /// For each slot, whether the penalty is on it.
    taking_part: Vec<bool>,
    /// Slots of consecutive blocks.
    pairs: Vec<(usize, usize)>,
    /// The weights before the previous step.
    previous: Vec<Option<Tensor<1>>>,
}

impl Smoothness {
    /// For `network`, whose scheme has the step h.
    pub fn of<R: Residual>(recipe: SmoothnessRecipe, network: &Network<R>) -> Self {
        let step = network.units.first().map_or(1.0, |unit| unit.scheme().time_step());
        Self::new(recipe, &Names::of(network), step)
    }

    fn new(recipe: SmoothnessRecipe, names: &Names, step: f64) -> Self {
        let counts = |slot: &Slot| slot.is_kernel() || (recipe.biases && slot.trainable);
        let taking_part: Vec<bool> = names.slots.iter().map(counts).collect();
        // Blocks of each layer, in their order.
        let mut layers: BTreeMap<_, BTreeMap<usize, usize>> = BTreeMap::new();
        for (index, slot) in names.slots.iter().enumerate().filter(|(i, _)| taking_part[*i]) {
            if let Some((layer, block)) = &slot.layer {
                layers.entry(layer).or_default().insert(*block, index);
            }
        }
        let consecutive = layers.values().flat_map(|blocks| {
            let slots: Vec<usize> = blocks.values().copied().collect();
            slots.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
        });
        let same = |&(a, b): &(usize, usize)| names.slots[a].shape == names.slots[b].shape;
        let pairs = consecutive.filter(same).collect();
        let previous = names.slots.iter().map(|_| None).collect();
        Self { recipe, rate: recipe.strength / step, taking_part, pairs, previous }
    }

    /// The penalty on `weights`, flat, in the order of the slots.
    pub fn value(&self, weights: &[Tensor<1>]) -> f64 {
        let square =
            |difference: Tensor<1>| -> f64 { difference.powi_scalar(2).sum().into_scalar::<f64>() };
        match self.recipe.kind {
            SmoothnessKind::None => 0.0,
            SmoothnessKind::Depth => {
                let pairs = self.pairs.iter();
                let squares = pairs.map(|&(a, b)| square(weights[b].clone() - weights[a].clone()));
                0.5 * self.rate * squares.sum::<f64>()
            }
            SmoothnessKind::Step => {
                let both = weights.iter().zip(&self.previous);
                let squares = both.filter_map(|(now, before)| {
                    Some(square(now.clone() - before.as_ref()?.clone()))
                });
                self.recipe.strength * squares.sum::<f64>()
            }
        }
    }

    /// Adds the penalty's gradient at `weights` to `gradients`, where there is one, and remembers the
    /// weights for the next step.
    pub fn add_gradient(&mut self, weights: &[Tensor<1>], gradients: &mut [Option<Tensor<1>>]) {
        let mut add = |slot: usize, more: Tensor<1>| {
            if let Some(gradient) = gradients[slot].take() {
                gradients[slot] = Some(gradient + more);
            }
        };
        match self.recipe.kind {
            SmoothnessKind::None => (),
            SmoothnessKind::Depth => {
                for &(a, b) in &self.pairs {
                    let difference = (weights[b].clone() - weights[a].clone()) * self.rate;
                    add(b, difference.clone());
                    add(a, difference.neg());
                }
            }
            SmoothnessKind::Step => {
                for (slot, now) in weights.iter().enumerate().filter(|(i, _)| self.taking_part[*i])
                {
                    let before = self.previous[slot].replace(now.clone());
                    if let Some(before) = before {
                        add(slot, (now.clone() - before) * (2.0 * self.recipe.strength));
                    }
                }
            }
        }
    }

    /// The weights before the previous step by slot. `None` before the second step, and for slots
    /// that are not remembered.
    pub(super) fn previous(&self) -> &[Option<Tensor<1>>] {
        &self.previous
    }

    /// For each slot, whether its weights are remembered from one step to the next.
    pub(super) fn remembered(&self) -> Vec<bool> {
        let steps = self.recipe.kind == SmoothnessKind::Step;
        self.taking_part.iter().map(|&takes_part| steps && takes_part).collect()
    }

    /// Continues with what [`previous`](Self::previous) gave.
    pub(super) fn restore(&mut self, previous: Vec<Option<Tensor<1>>>) {
        self.previous = previous;
    }
}
