//! Custom nodes of Burn's autodiff graph: a few parents, one output, and a vjp (vector–Jacobian product)
//! written with ordinary tensors.

use super::backend::{Holds, on_backend};
use crate::error::{Error, Result};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::tensor::{GradientCheckpointingStrategy, Tensor};
use palinode_kernels::Context;
use palinode_kernels::profile::Section;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A parent of a node, or the gradient with respect to one.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    /// A bias, or flattened parameters.
    Vector(Tensor<1>),
    /// Images, or the weight of a convolution.
    Array(Tensor<4>),
}

/// Maps the gradient with respect to the output to the gradients with respect to the parents, in their
/// order. The flags say which parents need one.
type Vjp<const N: usize> =
    dyn FnOnce(Tensor<4>, [bool; N], &mut Gradients) -> [Option<Variable>; N] + Send;

/// Records `output` as a function of `parents` whose vector–Jacobian product is `vjp`.
///
/// The caller computes `output` outside any graph. The node keeps only what `vjp` owns, and frees it
/// once the backward pass has called `vjp`. The flags given to `vjp` say which parents need a gradient.
/// The time of `vjp` counts towards `section` in the profile of `context`.
///
/// # Errors
/// [`Error::Backend`] if the library was built without the backend of the tensors' device.
pub(crate) fn record<const N: usize>(
    context: &Context,
    section: Section,
    parents: [Variable; N],
    output: Tensor<4>,
    vjp: impl FnOnce(Tensor<4>, [bool; N]) -> [Option<Variable>; N] + Send + 'static,
) -> Result<Tensor<4>> {
    record_into(context, section, parents, output, move |gradient, wanted, _| vjp(gradient, wanted))
}

/// [`record`] with a vjp that may also register gradients of leaves that are not parents.
pub(crate) fn record_into<const N: usize>(
    context: &Context,
    section: Section,
    parents: [Variable; N],
    output: Tensor<4>,
    vjp: impl FnOnce(Tensor<4>, [bool; N], &mut Gradients) -> [Option<Variable>; N] + Send + 'static,
) -> Result<Tensor<4>> {
    let context = context.clone();
    let vjp: Box<Vjp<N>> = Box::new(move |gradient, wanted, graph| {
        context.profile().time(section, || vjp(gradient, wanted, graph))
    });
    let state = Kept(Arc::new(Mutex::new(Some(vjp))));
    // All parents must be autodiff tensors, tracked or not.
    let parents = parents.map(|parent| match parent {
        Variable::Vector(tensor) => Variable::Vector(tensor.autodiff()),
        Variable::Array(tensor) => Variable::Array(tensor.autodiff()),
    });
    let balanced = parents.iter().any(|parent| {
        let strategy = match parent {
            Variable::Vector(tensor) => tensor.gradient_checkpointing_strategy(),
            Variable::Array(tensor) => tensor.gradient_checkpointing_strategy(),
        };
        strategy == Some(GradientCheckpointingStrategy::Balanced)
    });
    on_backend!(output.device(), B => if balanced {
        record_on::<B, BalancedCheckpointing, N>(parents, output, state)
    } else {
        record_on::<B, NoCheckpointing, N>(parents, output, state)
    })?
}

fn record_on<B: Backend, C: CheckpointStrategy, const N: usize>(
    parents: [Variable; N],
    output: Tensor<4>,
    state: Kept<N>,
) -> Result<Tensor<4>>
where
    DispatchTensor: Holds<B, C>,
{
    let refused = |reason| Error::Backend(format!("{reason:?}"));
    let nodes: Result<Vec<_>> = parents
        .into_iter()
        .map(|parent| {
            let primitive = match parent {
                Variable::Vector(tensor) => tensor.try_into_primitive::<Autodiff<B, C>>(),
                Variable::Array(tensor) => tensor.try_into_primitive::<Autodiff<B, C>>(),
            };
            Ok(primitive.map_err(refused)?.into_parts().1)
        })
        .collect();
    let nodes = nodes?.try_into().expect("as many nodes as parents");
    let output = output.try_into_primitive::<B>().map_err(refused)?;
    let recorded = match CustomNode.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(preparation) => preparation.finish(state, output),
        OpsKind::UnTracked(preparation) => preparation.finish(output),
    };
    Ok(Tensor::from_primitive::<Autodiff<B, C>>(recorded))
}

#[derive(Debug)]
struct CustomNode;

impl<B: Backend, const N: usize> Backward<B, N> for CustomNode
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = Kept<N>;

    fn backward(self, ops: Ops<Kept<N>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let kept = ops.state.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Burn consumes a node's step before it runs, so the vjp is called once.
        let Some(vjp) = kept else { return };
        let gradient = gradients.consume::<B>(&ops.node);
        let wanted = std::array::from_fn(|parent| ops.parents[parent].is_some());
        let found = vjp(Tensor::from_primitive::<B>(gradient), wanted, gradients);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            let (Some(node), Some(gradient)) = (node, gradient) else { continue };
            let gradient = match gradient {
                Variable::Vector(tensor) => primitive::<B, 1>(tensor),
                Variable::Array(tensor) => primitive::<B, 4>(tensor),
            };
            gradients.register::<B>(node.id, gradient);
        }
    }
}

#[derive(Clone)]
struct Kept<const N: usize>(Arc<Mutex<Option<Box<Vjp<N>>>>>);

impl<const N: usize> fmt::Debug for Kept<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// The primitive of a gradient.
///
/// # Panics
/// Never: the vjp of a node computes where the node's output is.
fn primitive<B: Backend, const D: usize>(tensor: Tensor<D>) -> B::FloatTensorPrimitive
where
    DispatchTensor: DispatchKindConversion<B>,
{
    tensor.try_into_primitive::<B>().expect("a vjp computes on the device of its node")
}

/// Adds `gradient` to the gradient of leaf `id`.
///
/// # Panics
/// If the library was built without the backend of the gradient's device. The node that calls this could
/// not have been recorded there.
pub(crate) fn register<const D: usize>(graph: &mut Gradients, id: NodeId, gradient: Tensor<D>) {
    let device = gradient.device();
    let registered = on_backend!(device, B => graph.register::<B>(id, primitive::<B, D>(gradient)));
    registered.expect("a node was recorded on this device");
}

/// The graph node of an autodiff tensor.
///
/// # Errors
/// [`Error::Backend`] if the library was built without the backend of the tensor's device.
pub(crate) fn node_id<const D: usize>(tensor: &Tensor<D>) -> Result<NodeId> {
    let balanced =
        tensor.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Balanced);
    on_backend!(tensor.device(), B => if balanced {
        id_on::<B, BalancedCheckpointing, D>(tensor.clone())
    } else {
        id_on::<B, NoCheckpointing, D>(tensor.clone())
    })?
}

fn id_on<B: Backend, C: CheckpointStrategy, const D: usize>(tensor: Tensor<D>) -> Result<NodeId>
where
    DispatchTensor: Holds<B, C>,
{
    let primitive = tensor.try_into_primitive::<Autodiff<B, C>>();
    Ok(primitive.map_err(|reason| Error::Backend(format!("{reason:?}")))?.id())
}
