//! A custom node of Burn's autodiff graph: two parents, one output, and a pull-back written with
//! ordinary tensors.

use crate::error::{Error, Result};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::{
    BalancedCheckpointing, CheckpointStrategy, NoCheckpointing,
};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor, Flex};
use burn::tensor::{GradientCheckpointingStrategy, Tensor};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// From the gradient of the output to the gradients of the two parents.
type PullBack = dyn FnOnce(Tensor<4>) -> (Tensor<4>, Tensor<1>) + Send;

/// Records `output` as a function of `input` and `parameters` whose gradient is `pull_back`.
///
/// `output` is computed by the caller outside any graph. What `pull_back` owns is all that the node
/// keeps, and it is freed as the backward pass goes by.
///
/// # Errors
/// [`Error::Backend`] where the tensors do not live on Flex.
pub(super) fn record(
    input: Tensor<4>,
    parameters: Tensor<1>,
    output: Tensor<4>,
    pull_back: impl FnOnce(Tensor<4>) -> (Tensor<4>, Tensor<1>) + Send + 'static,
) -> Result<Tensor<4>> {
    let state = Kept(Arc::new(Mutex::new(Some(Box::new(pull_back)))));
    // Both parents must be on the graph's side, tracked or not.
    let (input, parameters) = (input.autodiff(), parameters.autodiff());
    if input.gradient_checkpointing_strategy() == Some(GradientCheckpointingStrategy::Balanced) {
        record_with::<BalancedCheckpointing>(input, parameters, output, state)
    } else {
        record_with::<NoCheckpointing>(input, parameters, output, state)
    }
}

fn record_with<C: CheckpointStrategy>(
    input: Tensor<4>,
    parameters: Tensor<1>,
    output: Tensor<4>,
    state: Kept,
) -> Result<Tensor<4>>
where
    DispatchTensor: DispatchKindConversion<Autodiff<Flex, C>>,
{
    let refused = |reason| Error::Backend(format!("{reason:?}"));
    let (_, input) = input.try_into_primitive::<Autodiff<Flex, C>>().map_err(refused)?.into_parts();
    let (_, parameters) =
        parameters.try_into_primitive::<Autodiff<Flex, C>>().map_err(refused)?.into_parts();
    let output = output.try_into_primitive::<Flex>().map_err(refused)?;
    let preparation = UnitNode.prepare::<C>([input, parameters]).compute_bound().stateful();
    let recorded = match preparation {
        OpsKind::Tracked(preparation) => preparation.finish(state, output),
        OpsKind::UnTracked(preparation) => preparation.finish(output),
    };
    Ok(Tensor::from_primitive::<Autodiff<Flex, C>>(recorded))
}

#[derive(Debug)]
struct UnitNode;

impl Backward<Flex, 2> for UnitNode {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let kept = ops.state.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Burn consumes a node's step before running it, so a pull-back is asked for once.
        let Some(pull_back) = kept else { return };
        let gradient = gradients.consume::<Flex>(&ops.node);
        let (input, parameters) = pull_back(Tensor::from_primitive::<Flex>(gradient));
        let [input_node, parameters_node] = ops.parents;
        if let (Some(node), Ok(gradient)) = (input_node, input.try_into_primitive::<Flex>()) {
            gradients.register::<Flex>(node.id, gradient);
        }
        if let (Some(node), Ok(gradient)) =
            (parameters_node, parameters.try_into_primitive::<Flex>())
        {
            gradients.register::<Flex>(node.id, gradient);
        }
    }
}

#[derive(Clone)]
struct Kept(Arc<Mutex<Option<Box<PullBack>>>>);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
