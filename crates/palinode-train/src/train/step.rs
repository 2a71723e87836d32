//! One training step.

use super::evaluate::{correct, smoothed_cross_entropy};
use super::optimizer::Sgd;
use crate::data::Batch;
use crate::error::Result;
use palinode::network::weights::to_f32;
use palinode::network::{Network, Phase};
use palinode::residual::Residual;

/// The network after a step, and what the step saw.
#[derive(Debug)]
pub struct Stepped<R: Residual> {
    /// With updated weights; unchanged where the loss is not finite.
    pub network: Network<R>,
    /// Mean loss of the batch, before the update.
    pub loss: f64,
    /// Images classified correctly, before the update.
    pub correct: usize,
}

/// How a step is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub rate: f64,
    /// Which step it is.
    pub phase: Phase,
    /// ε of smoothed targets.
    pub label_smoothing: f64,
}

/// Loss and gradients of one batch, applied as `step` says.
///
/// # Errors
/// As [`Network::forward`].
pub fn train_step<R: Residual>(
    network: Network<R>,
    optimizer: &mut Sgd,
    batch: Batch,
    labels: &[u8],
    step: Step,
) -> Result<Stepped<R>> {
    let logits = network.forward(batch.images, step.phase)?;
    let correct = correct(&to_f32(logits.clone()), labels, network.config().classes);
    let loss = smoothed_cross_entropy(logits, batch.labels, step.label_smoothing);
    let value = loss.clone().inner().into_scalar::<f64>();
    if !value.is_finite() {
        return Ok(Stepped { network, loss: value, correct });
    }
    let mut gradients = loss.backward();
    let network = optimizer.step(network, &mut gradients, step.rate);
    Ok(Stepped { network, loss: value, correct })
}
