//! How large the states of units become.

use crate::error::Result;
use crate::network::{Network, Phase};
use crate::residual::Residual;
use burn::tensor::Tensor;

/// For every unit, the largest absolute value of a number of its state, over all blocks. A
/// [grid](crate::scheme::Grid::for_states) is chosen by it.
///
/// # Errors
/// As [`Network::forward`], and [`Error::Device`](crate::Error::Device) if the device fails.
pub fn largest_states<R: Residual>(network: &Network<R>, images: Tensor<4>) -> Result<Vec<f64>> {
    let phase = Phase::BatchStatistics;
    let mut found = Vec::new();
    network.forward_past(images, phase, &mut |unit, input| {
        found.push(unit.largest_state(input.clone(), phase)?);
        Ok(())
    })?;
    Ok(found)
}
