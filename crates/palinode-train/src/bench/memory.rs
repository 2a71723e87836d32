//! Peak memory and time of a whole training step against depth.

use super::step::{Meter, PeakBytes, StepBench, Stepped};
use crate::error::Result;
use palinode::Context;
use palinode::network::NetworkConfig;
use palinode::reversible::Differentiation;
use serde::{Deserialize, Serialize};

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
    context: &Context,
) -> Result<StepMeasurement> {
    let (bench, _) = StepBench::new(config, mode, batch_size, seed, meter, context)?.step()?;
    let (_, Stepped { seconds, peak_bytes, .. }) = bench.step()?;
    let (blocks, layers) = (config.blocks[0], config.layers());
    Ok(StepMeasurement { blocks, layers, mode, seconds, peak_bytes })
}
