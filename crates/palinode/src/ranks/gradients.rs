//! The gradients of a network over the whole batch.

use crate::autodiff::{node_id, view};
use crate::error::Result;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use palinode_kernels::{Leaf, LeafGradients, Share};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Replaces the gradients of a module's parameters over the images of this rank by those over the whole batch. All ranks
/// call this after the backward pass.
///
/// What was to be [completed later](Share::complete_later), such as the running statistics of norms, is completed here too.
///
/// `gradients` are flat, in the order of a visit, `None` for a parameter that is not trained. Those of units in the modes
/// `reversible` and `checkpointed` have been on their way since the unit's backward pass, those of other convolutions since
/// their own; the others are sent now.
///
/// # Errors
/// [`Error::Backend`](crate::Error::Backend) if the library was built without the backend of the module's device.
pub fn add_gradients<M: Module>(
    share: &Share,
    module: &M,
    gradients: &mut [Option<Tensor<1>>],
) -> Result<()> {
    let ranks = share.ranks();
    let mut leaves = Leaves(Vec::new());
    module.visit(&mut leaves);
    let leaves = leaves.0.into_iter().collect::<Result<Vec<_>>>()?;
    let handed_over = ranks.finish();
    let mut sums: HashMap<u64, (u32, &[f32])> = HashMap::new();
    for (leaf, sum) in handed_over.iter().flat_map(LeafGradients::iter) {
        sums.insert(leaf.id, (leaf.bits, sum));
    }
    // Where a parameter has other uses too, its gradient is the sum over all of them. This may show on some ranks alone.
    let own = leaves.iter().zip(&*gradients).map(|(leaf, gradient)| {
        let (Some(leaf), Some(gradient)) = (leaf, gradient) else { return 0.0 };
        let handed = sums.get(leaf);
        let handed =
            handed.is_some_and(|(bits, _)| *bits == Leaf::bits_of(&view(gradient.clone())));
        f32::from(u8::from(!handed))
    });
    let unsent = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&unsent);
    share.complete_later(own.collect(), move |ranks| {
        into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(ranks);
    });
    share.end_step();
    let unsent = std::mem::take(&mut *unsent.lock().unwrap_or_else(PoisonError::into_inner));
    let mut left = LeafGradients::default();
    for ((leaf, gradient), ranks) in leaves.iter().zip(&*gradients).zip(unsent) {
        if let (Some(leaf), Some(gradient)) = (leaf, gradient)
            && ranks > 0.0
        {
            left.push(*leaf, &view(gradient.clone()));
        }
    }
    ranks.begin(left);
    let left = ranks.finish();
    for (leaf, sum) in left.iter().flat_map(LeafGradients::iter) {
        sums.insert(leaf.id, (leaf.bits, sum));
    }
    for (leaf, gradient) in leaves.iter().zip(gradients) {
        let sum = leaf.as_ref().and_then(|leaf| sums.get(leaf));
        let (Some(own), Some((_, sum))) = (&gradient, sum) else { continue };
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
