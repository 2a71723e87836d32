//! Gradients at reconstructed states against those at states that drift less.

use crate::data::Batch;
use crate::error::Result;
use crate::train::evaluate::cross_entropy;
use palinode::network::weights::{Arrays, collect_gradients};
use palinode::network::{Network, Phase, Unit};
use palinode::residual::Residual;
use palinode::reversible::Differentiation;

/// Images at most.
const IMAGES: usize = 16;

/// In how many parts a unit is kept to compare its gradients: its states then drift by much less.
fn more_parts<R: Residual>(unit: &Unit<R>) -> usize {
    let root = (unit.blocks() as f64).sqrt().ceil() as usize;
    (4 * unit.parts()).max(root).min(unit.blocks())
}

/// Whether a unit reconstructs states that are not on a grid.
pub fn reconstructs<R: Residual>(network: &Network<R>) -> bool {
    network.units.iter().any(|unit| {
        unit.mode() == Differentiation::Reversible
            && unit.grid().is_none()
            && unit.parts() < unit.blocks()
    })
}

/// Training images to compare gradients on: the states that this keeps are to take no more memory than those of a few
/// batches.
pub fn images<R: Residual>(network: &Network<R>, batch_size: usize) -> usize {
    let parts = network.units.iter().map(more_parts).max().unwrap_or(1);
    (4 * batch_size / parts.max(1)).clamp(1, IMAGES)
}

/// For every unit, the relative difference of its parameters' gradients from those of units that are kept in more
/// parts, so that their states drift by much less.
pub fn differences<R: Residual>(network: &Network<R>, batch: &Batch) -> Result<Vec<f64>> {
    let gradients = |network: &Network<R>| -> Result<Arrays> {
        let logits = network.forward(batch.images.clone(), Phase::BatchStatistics)?;
        let loss = cross_entropy(logits, batch.labels.clone());
        Ok(collect_gradients(network, &loss.backward()))
    };
    let kept: Vec<usize> = network.units.iter().map(more_parts).collect();
    let kept = gradients(&network.clone().with_parts(&kept)?)?;
    let found = gradients(network)?;
    let of_unit = |unit: usize| {
        let prefix = format!("units.{unit}.");
        let (mut change, mut square) = (0.0, 0.0);
        for (name, truth) in kept.iter().filter(|(name, _)| name.starts_with(&prefix)) {
            let own = found.get(name).map_or(&[][..], |own| &own.values);
            for (own, truth) in own.iter().zip(&truth.values) {
                change += f64::from(own - truth).powi(2);
                square += f64::from(*truth).powi(2);
            }
        }
        palinode_kernels::projection::relative(change, square)
    };
    Ok((0..network.units.len()).map(of_unit).collect())
}
