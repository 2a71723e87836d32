//! The gradients of a network over the whole batch.

use crate::autodiff::{node_id, values};
use crate::error::Result;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use palinode_kernels::{LeafGradients, Ranks};
use std::collections::{HashMap, HashSet};

/// Replaces the gradients of a module's parameters over the images of this rank by those over the whole batch. All ranks
/// call this after the backward pass.
///
/// `gradients` are flat, in the order of a visit, `None` for a parameter that is not trained. Those of units in the modes
/// `reversible` and `checkpointed` have been on their way since the unit's backward pass; the others are sent now.
///
/// # Errors
/// [`Error::Backend`](crate::Error::Backend) if the library was built without the backend of the module's device.
pub fn add_gradients<M: Module>(
    ranks: &dyn Ranks,
    module: &M,
    gradients: &mut [Option<Tensor<1>>],
) -> Result<()> {
    let mut leaves = Leaves(Vec::new());
    module.visit(&mut leaves);
    let leaves = leaves.0.into_iter().collect::<Result<Vec<_>>>()?;
    let handed_over = ranks.finish();
    let (mut once, mut again) = (HashSet::new(), HashSet::new());
    for (leaf, _) in handed_over.iter().flat_map(|own| &own.leaves) {
        if !once.insert(*leaf) {
            again.insert(*leaf);
        }
    }
    // The gradient of a leaf with several uses is the sum over these, and that comes first.
    let is_left = |leaf: &u64| !once.contains(leaf) || again.contains(leaf);
    let mut left = LeafGradients::default();
    for (leaf, gradient) in leaves.iter().zip(&*gradients) {
        let (Some(leaf), Some(gradient)) = (leaf, gradient) else { continue };
        if is_left(leaf) {
            let numbers = values(gradient.clone());
            left.leaves.push((*leaf, numbers.len()));
            left.numbers.extend(numbers);
        }
    }
    ranks.begin(left);
    let left = ranks.finish();
    let mut sums: HashMap<u64, &[f32]> = HashMap::new();
    for own in handed_over.iter().chain(&left) {
        let mut rest = &own.numbers[..];
        for &(leaf, length) in &own.leaves {
            let (first, others) = rest.split_at(length);
            sums.insert(leaf, first);
            rest = others;
        }
    }
    for (leaf, gradient) in leaves.iter().zip(gradients) {
        let sum = leaf.as_ref().and_then(|leaf| sums.get(leaf));
        let (Some(own), Some(sum)) = (&gradient, sum) else { continue };
        let data = TensorData::new(sum.to_vec(), [sum.len()]);
        *gradient = Some(Tensor::from_data(data, &own.device()));
    }
    Ok(())
}

/// The graph's number of every parameter that is trained.
struct Leaves(Vec<Result<Option<u64>>>);

impl ModuleVisitor for Leaves {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let id = value.is_require_grad().then(|| node_id(&value)).transpose();
        self.0.push(id.map(|id| id.map(|id| id.value)));
    }
}
