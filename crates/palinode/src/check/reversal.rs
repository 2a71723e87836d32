//! Reconstruction errors of a network's units.

use crate::error::Result;
use crate::network::{Network, Phase};
use crate::residual::Residual;
use burn::tensor::Tensor;

/// For every unit the relative error ‖x̂ − x‖/‖x‖, where x is the unit's input for `images` and x̂ its
/// reconstruction from the unit's last state. Norms use their running statistics. The reconstruction
/// runs block by block, in the precision of the network's weights.
///
/// # Errors
/// [`Error::NoInverse`](crate::Error::NoInverse) if the scheme has no inverse; otherwise as
/// [`Network::forward`].
pub fn reversal_errors<R: Residual>(network: &Network<R>, images: Tensor<4>) -> Result<Vec<f64>> {
    let phase = Phase::Inference;
    let mut errors = Vec::new();
    network.forward_past(images, phase, &mut |unit, input| {
        let (last, evaluations) = unit.forward_state(input.clone(), phase)?;
        let found = unit.inverse(last, &evaluations)?;
        errors.push(norm(found - input.clone()) / norm(input.clone()).max(f64::MIN_POSITIVE));
        Ok(())
    })?;
    Ok(errors)
}

fn norm(x: Tensor<4>) -> f64 {
    x.powi_scalar(2).sum().into_scalar::<f64>().sqrt()
}
