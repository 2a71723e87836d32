//! Peak memory and time of a whole training step against depth.

use super::meter::Meter;
use super::step::{PeakBytes, StepBench, StepPlan, Stepped};
use crate::error::Result;
use palinode::Context;
use palinode::network::{Modes, NetworkConfig};
use serde::{Deserialize, Serialize};

/// One measured training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMeasurement {
    /// Nominal blocks per unit.
    pub blocks: usize,
    /// Convolutions and the fully connected layer, counted as the models' names count them.
    pub layers: usize,
    /// How it was differentiated.
    pub mode: Modes,
    /// Wall time: forward, backward and optimiser.
    pub seconds: f64,
    /// Memory.
    pub peak_bytes: PeakBytes,
}

/// Measures the second training step of a network on random images (in the first one the optimiser makes its
/// state). Where reading the memory waits for the device, the time is that of the third step, without readings.
///
/// # Errors
/// As [`NetworkConfig::init`].
pub fn measure_step(
    config: &NetworkConfig,
    plan: &StepPlan,
    meter: &dyn Meter,
    context: &Context,
) -> Result<StepMeasurement> {
    let mode = plan.modes.clone();
    let (bench, _) = StepBench::new(config, plan, meter, context)?.step()?;
    let (bench, Stepped { mut seconds, peak_bytes, .. }) = bench.step()?;
    if meter.waits() {
        seconds = bench.step()?.1.seconds;
    }
    let (blocks, layers) = (config.blocks[0], config.layers());
    Ok(StepMeasurement { blocks, layers, mode, seconds, peak_bytes })
}
