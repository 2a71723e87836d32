//! Whether units give the same bits twice.

use crate::device::read;
use crate::error::Result;
use crate::network::{Network, Phase};
use crate::residual::Residual;
use burn::tensor::Tensor;

/// For every unit, whether two evaluations on the same input give the same bits, in the type that the network is
/// trained in. The reversible and checkpointed modes evaluate every residual twice: where the bits differ, so do the
/// reconstructed states. On the CPU they never differ.
///
/// # Errors
/// As [`Network::forward`], and [`Error::Device`](crate::Error::Device) if the device fails.
pub fn repeats<R: Residual>(network: &Network<R>, images: Tensor<4>) -> Result<Vec<bool>> {
    let phase = Phase::BatchStatistics;
    let mut differences: Vec<Tensor<1>> = Vec::new();
    network.forward_past(images, phase, &mut |unit, input| {
        let [first, second] = [(); 2].map(|()| unit.forward(input.clone(), phase));
        let difference = (first?.inner() - second?.inner()).abs().max();
        differences.push(difference);
        Ok(())
    })?;
    if differences.is_empty() {
        return Ok(Vec::new());
    }
    // A NaN is a difference too.
    Ok(read(Tensor::cat(differences, 0))?.into_iter().map(|difference| difference == 0.0).collect())
}
