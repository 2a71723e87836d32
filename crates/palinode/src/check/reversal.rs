//! How exactly a network's units are reversed.

use crate::error::Result;
use crate::network::{Network, Phase};
use crate::residual::Residual;
use burn::tensor::Tensor;

/// For every unit the relative error ‖x̂ − x‖/‖x‖ of its input x, reconstructed from its last state on
/// `images` with the running statistics, block by block in the precision of the network's weights.
///
/// # Errors
/// [`Error::NoInverse`](crate::Error::NoInverse) where the scheme has none.
pub fn reversal_errors<R: Residual>(network: &Network<R>, images: Tensor<4>) -> Result<Vec<f64>> {
    let phase = Phase::Inference;
    let mut errors = Vec::new();
    network.forward_past(images, phase, &mut |unit, input| {
        let (last, evaluations) = unit.forward_state(input.clone(), phase)?;
        let back = unit.inverse(last, &evaluations)?;
        errors.push(norm(back - input.clone()) / norm(input.clone()).max(f64::MIN_POSITIVE));
        Ok(())
    })?;
    Ok(errors)
}

fn norm(x: Tensor<4>) -> f64 {
    x.powi_scalar(2).sum().into_scalar::<f64>().sqrt()
}
