//! Custom nodes of Burn's autodiff graph: a few parents, one output, and a pull-back written with
//! ordinary tensors.

use crate::error::{Error, Result};
use crate::profile::{Part, time};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, BackendTypes, DispatchKindConversion, DispatchTensor, Flex};
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Tensor, TensorData};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// A parent of a node, or the gradient with respect to one.
#[derive(Clone, Debug)]
pub(crate) enum Variable {
    /// A bias, or parameters laid flat.
    Vector(Tensor<1>),
    /// Images, or the weight of a convolution.
    Array(Tensor<4>),
}

/// From the gradient of the output to those of the parents that want one, in their order.
type PullBack<const N: usize> =
    dyn FnOnce(Tensor<4>, [bool; N], &mut Gradients) -> [Option<Variable>; N] + Send;

/// Records `output` as a function of `parents` whose gradient is `pull_back`.
///
/// `output` is computed by the caller outside any graph. What `pull_back` owns is all that the node
/// keeps, and it is freed as the backward pass goes by; it is told which parents want a gradient. Its
/// time counts as `part`'s.
///
/// # Errors
/// [`Error::Backend`] where the tensors do not live on Flex.
pub(crate) fn record<const N: usize>(
    part: Part,
    parents: [Variable; N],
    output: Tensor<4>,
    pull_back: impl FnOnce(Tensor<4>, [bool; N]) -> [Option<Variable>; N] + Send + 'static,
) -> Result<Tensor<4>> {
    record_into(part, parents, output, move |slope, wanted, _| pull_back(slope, wanted))
}

/// [`record`] with a pull-back that may also give gradients to leaves that are no parents.
pub(crate) fn record_into<const N: usize>(
    part: Part,
    parents: [Variable; N],
    output: Tensor<4>,
    pull_back: impl FnOnce(Tensor<4>, [bool; N], &mut Gradients) -> [Option<Variable>; N]
    + Send
    + 'static,
) -> Result<Tensor<4>> {
    let pull_back: Box<PullBack<N>> =
        Box::new(move |slope, wanted, graph| time(part, || pull_back(slope, wanted, graph)));
    let state = Kept(Arc::new(Mutex::new(Some(pull_back))));
    // All parents must be on the graph's side, tracked or not.
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
    if balanced {
        record_with::<BalancedCheckpointing, N>(parents, output, state)
    } else {
        record_with::<NoCheckpointing, N>(parents, output, state)
    }
}

fn record_with<C: CheckpointStrategy, const N: usize>(
    parents: [Variable; N],
    output: Tensor<4>,
    state: Kept<N>,
) -> Result<Tensor<4>>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let refused = |reason| Error::Backend(format!("{reason:?}"));
    let nodes: Result<Vec<_>> = parents
        .into_iter()
        .map(|parent| {
            let primitive = match parent {
                Variable::Vector(tensor) => tensor.try_into_primitive::<Autodiff<Flex, C>>(),
                Variable::Array(tensor) => tensor.try_into_primitive::<Autodiff<Flex, C>>(),
            };
            Ok(primitive.map_err(refused)?.into_parts().1)
        })
        .collect();
    let nodes = nodes?.try_into().map_err(|_| Error::Backend("a parent was lost".into()))?;
    let output = output.try_into_primitive::<Flex>().map_err(refused)?;
    let recorded = match CustomNode.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(preparation) => preparation.finish(state, output),
        OpsKind::UnTracked(preparation) => preparation.finish(output),
    };
    Ok(Tensor::from_primitive::<Autodiff<Flex, C>>(recorded))
}

#[derive(Debug)]
struct CustomNode;

impl<const N: usize> Backward<Flex, N> for CustomNode {
    type State = Kept<N>;

    fn backward(self, ops: Ops<Kept<N>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let kept = ops.state.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Burn consumes a node's step before running it, so a pull-back is asked for once.
        let Some(pull_back) = kept else { return };
        let gradient = gradients.consume::<Flex>(&ops.node);
        let wanted = std::array::from_fn(|parent| ops.parents[parent].is_some());
        let found = pull_back(Tensor::from_primitive::<Flex>(gradient), wanted, gradients);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            let primitive = match gradient {
                Some(Variable::Vector(tensor)) => flex_primitive(tensor),
                Some(Variable::Array(tensor)) => flex_primitive(tensor),
                None => continue,
            };
            if let (Some(node), Some(gradient)) = (node, primitive) {
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Clone)]
struct Kept<const N: usize>(Arc<Mutex<Option<Box<PullBack<N>>>>>);

impl<const N: usize> fmt::Debug for Kept<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// What Flex knows a tensor outside any graph by.
pub(crate) fn flex_primitive<const D: usize>(tensor: Tensor<D>) -> Option<FlexPrimitive> {
    tensor.try_into_primitive::<Flex>().ok()
}

type FlexPrimitive = <Flex as BackendTypes>::FloatTensorPrimitive;

/// The node of a tensor on the graph's side.
pub(crate) fn node_id<const D: usize>(tensor: &Tensor<D>) -> Option<NodeId> {
    let tensor = tensor.clone();
    if tensor.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Balanced) {
        let primitive = tensor.try_into_primitive::<Autodiff<Flex, BalancedCheckpointing>>();
        primitive.ok().map(|primitive| primitive.id())
    } else {
        let primitive = tensor.try_into_primitive::<Autodiff<Flex, NoCheckpointing>>();
        primitive.ok().map(|primitive| primitive.id())
    }
}

/// Whether the kernels, which work on f32 in the CPU's memory, can compute with a tensor.
pub(crate) fn on_kernels<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}

/// The numbers of a tensor that is [on the kernels' side](on_kernels), to read; copied only where they
/// do not lie side by side.
pub(crate) fn view<const D: usize>(tensor: Tensor<D>) -> View {
    let tensor = tensor.inner();
    match tensor.clone().try_into_primitive::<Flex>() {
        Ok(primitive) if primitive.as_slice::<f32>().is_some() => View::Shared(primitive),
        _ => View::Own(values(tensor)),
    }
}

/// See [`view`].
pub(crate) enum View {
    Shared(FlexPrimitive),
    Own(Vec<f32>),
}

impl Deref for View {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            // `view` has seen that there is a slice.
            Self::Shared(primitive) => primitive.as_slice().unwrap_or_default(),
            Self::Own(values) => values,
        }
    }
}

/// The numbers of a tensor that is [on the kernels' side](on_kernels), to change; copied only where
/// they are shared.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap_or_default()
}

/// A tensor outside any graph.
pub(crate) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
