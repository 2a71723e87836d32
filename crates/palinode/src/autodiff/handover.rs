//! Gradients of a node on their way to other ranks.

use super::view::view;
use burn::tensor::Tensor;
use palinode_kernels::{Context, LeafGradients};

/// Begins to add up the gradients `found` of a node, if several ranks share the batch: those of `leaves`, which has `None`
/// for an array that is not trained.
pub(super) fn hand_over(context: &Context, leaves: &[Option<u64>], found: &[Tensor<1>]) {
    let Some(share) = context.share() else { return };
    let mut gradients = LeafGradients::default();
    for (leaf, gradient) in leaves.iter().zip(found) {
        let Some(leaf) = *leaf else { continue };
        gradients.push(leaf, &view(gradient.clone()));
    }
    share.ranks().begin(gradients);
}
