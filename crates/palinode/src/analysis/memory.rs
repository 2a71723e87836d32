//! Peak memory and time of a whole training step, split by cause.

use crate::error::Result;
use crate::network::{NetworkConfig, Phase, count};
use crate::random::{Generator, Purpose};
use crate::reversible::Differentiation;
use crate::training::{OptimizerRecipe, Sgd, cross_entropy};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A counter of live bytes: the counting allocator of a program.
pub trait Meter {
    /// Live bytes now.
    fn current(&self) -> usize;
    /// The most live bytes since the last [`reset_peak`](Meter::reset_peak).
    fn peak(&self) -> usize;
    /// Starts a new peak from the live bytes now.
    fn reset_peak(&self);
}

/// The peak of the live bytes during a training step, by cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakBytes {
    /// All of it: what a process needs beyond its state before the network was made.
    pub total: usize,
    /// 4 bytes × parameters.
    pub parameters: usize,
    /// 4 bytes × parameters.
    pub gradients: usize,
    /// 4 bytes × parameters: the momentum.
    pub optimizer: usize,
    /// What is alive between the forward and the backward pass because of the forward pass.
    pub activations: usize,
    /// Everything else at the moment of the peak.
    pub workspace: usize,
}

/// One measured training step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMeasurement {
    /// Nominal blocks per unit.
    pub blocks: usize,
    /// Convolutions and the fully connected layer, counted as the models' names count them.
    pub layers: usize,
    /// How it was differentiated.
    pub mode: Differentiation,
    /// Wall time: forward, backward and optimiser.
    pub seconds: f64,
    /// Memory.
    pub peak_bytes: PeakBytes,
}

/// Measures the second training step of a network on `batch_size` random images (in the first one
/// the optimiser makes its state).
///
/// # Errors
/// As [`NetworkConfig::init`].
pub fn measure_step(
    config: &NetworkConfig,
    mode: Differentiation,
    batch_size: usize,
    seed: u64,
    meter: &dyn Meter,
) -> Result<StepMeasurement> {
    let device = Device::flex().autodiff();
    let before = meter.current();
    let mut network = config.init(seed, mode, &device)?;
    let mut optimizer = Sgd::new(&OptimizerRecipe::default(), &network);
    let bytes = 4 * count(&network).total;

    let [rows, columns] = config.size;
    let mut generator = Generator::new(seed, Purpose::Input);
    let images: Tensor<4> =
        generator.normal([batch_size, config.channels, rows, columns], 1.0, &device);
    let labels: Vec<i64> =
        (0..batch_size).map(|_| i64::from(generator.below(config.classes as u32))).collect();
    let labels: Tensor<1, Int> = Tensor::from_data(TensorData::new(labels, [batch_size]), &device);

    let (mut seconds, mut activations, mut peak) = (0.0, 0, 0);
    for _ in 0..2 {
        meter.reset_peak();
        let (began, start) = (Instant::now(), meter.current());
        let logits = network.forward(images.clone(), Phase::Training)?;
        let loss = cross_entropy(logits, labels.clone());
        activations = meter.current().saturating_sub(start);
        let mut gradients = loss.backward();
        drop(loss);
        network = optimizer.step(network, &mut gradients, 1e-3);
        seconds = began.elapsed().as_secs_f64();
        peak = meter.peak();
    }
    let total = peak.saturating_sub(before);
    Ok(StepMeasurement {
        blocks: config.blocks[0],
        layers: config.layers(),
        mode,
        seconds,
        peak_bytes: PeakBytes {
            total,
            parameters: bytes,
            gradients: bytes,
            optimizer: bytes,
            activations,
            workspace: total.saturating_sub(3 * bytes + activations),
        },
    })
}
