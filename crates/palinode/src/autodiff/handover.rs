//! Gradients of a node on their way to other ranks.

use super::node::node_id;
use super::view::{View, view};
use burn::tensor::Tensor;
use palinode_kernels::{Context, Fate, LeafGradients, Share};

/// Begins to add up the gradients `found` of a node, if several ranks share the batch: those of `leaves`, which has `None`
/// for an array that is not trained.
pub(super) fn hand_over(context: &Context, leaves: &[Option<u64>], found: &[Tensor<1>]) {
    let Some(share) = context.share() else { return };
    let views: Vec<View> = found.iter().map(|gradient| view(gradient.clone())).collect();
    begin(share, leaves, views.iter().map(|gradient| &gradient[..]));
}

/// Begins to add up the gradients of `leaves` over all ranks.
fn begin<'a>(
    share: &Share,
    leaves: &[Option<u64>],
    gradients: impl IntoIterator<Item = &'a [f32]>,
) {
    let mut found = LeafGradients::default();
    for (leaf, gradient) in leaves.iter().zip(gradients) {
        if let Some(leaf) = *leaf {
            found.push(leaf, gradient);
        }
    }
    share.ranks().begin(found);
}

/// The parameters among the parents of a node, where several ranks share the batch.
pub(crate) struct Given {
    /// The graph's numbers of leaves; `None` for an array that is not trained, or that is computed from others.
    leaves: Vec<Option<u64>>,
    /// Whether an array is computed from others.
    computed: bool,
}

impl Given {
    /// No parameters yet.
    pub fn none() -> Self {
        Self { leaves: Vec::new(), computed: false }
    }

    /// Adds a parameter, or the place of one that is missing. Call this in the forward pass.
    pub fn add<const D: usize>(&mut self, context: &Context, parameter: Option<&Tensor<D>>) {
        let (Some(share), Some(parameter)) = (context.share(), parameter) else {
            self.leaves.push(None);
            return;
        };
        let leaf = parameter.is_require_grad().then(|| node_id(parameter).ok()).flatten();
        let leaf = leaf.map(|id| id.value);
        self.computed |= parameter.is_tracked() && leaf.is_none();
        share.count_uses(leaf);
        self.leaves.push(leaf);
    }

    /// Makes gradients over the images of this rank such that the sum over all ranks is the gradient over the whole batch,
    /// with the bits of one rank. There is one for each parameter; [`Share::fate`](palinode_kernels::Share::fate) says what
    /// becomes of them.
    pub fn send(&self, context: &Context, gradients: &mut [&mut [f32]]) {
        let Some(share) = context.share() else { return };
        let fate = match self.computed {
            true => Fate::Complete,
            false => share.fate(self.leaves.iter().copied().flatten()),
        };
        match fate {
            Fate::Complete => context.complete(gradients),
            Fate::Leave => (),
            Fate::HandOver => {
                begin(share, &self.leaves, gradients.iter().map(|gradient| &**gradient));
            }
        }
    }
}
