//! Ranks that are to train together: whether they fit together.

use super::agreement::check_program;
use super::identity::Identity;
use super::machine::Machine;
use super::training_data::Checksums;
use crate::error::{Error, Result};
use palinode::device::is_cpu;
use palinode::network::Network;
use palinode::network::weights::collect;
use palinode::residual::Residual;
use palinode::tensor::Device;
use std::collections::BTreeMap;

/// Refuses ranks that would not compute the same: with another program, instruction set, network, setting or other images.
/// All ranks call this together.
///
/// # Errors
/// [`Error::OtherRank`] naming the first rank that differs from the first one, and in what; [`palinode::Error::Config`]
/// where there are more ranks than micro-batches, and for a device that is not the CPU.
pub(super) fn check_ranks<R: Residual>(
    machine: &Machine,
    (network, device): (&Network<R>, &Device),
    (identity, images): (&Identity, &Checksums),
) -> Result<()> {
    if machine.is_alone() {
        return Ok(());
    }
    let context = network.context();
    let microbatches = context.microbatches().map_or(1, |own| own.count());
    check_shareable(machine, device, microbatches)?;
    let sum = |sum: u32| format!("{sum:08x}");
    let mut values = BTreeMap::from([
        ("the instruction set", context.isa().to_string()),
        ("the checksum of the training images", sum(images.training)),
        ("the checksum of the test images", images.test.map_or_else(|| "missing".to_owned(), sum)),
        ("the checksum of the initial weights", sum(checksum(network))),
    ])
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<BTreeMap<_, _>>();
    values.extend(identity.fields());
    values.extend(identity.settings().clone());
    values.insert("training.epochs".to_owned(), identity.epochs.to_string());
    check_program(machine, values)
}

/// Refuses ranks that cannot share a batch.
///
/// # Errors
/// [`palinode::Error::Config`] where there are more ranks than micro-batches, and for a device that is not the CPU.
pub(super) fn check_shareable(
    machine: &Machine,
    device: &Device,
    microbatches: usize,
) -> Result<()> {
    let Some((_, ranks)) = machine.rank() else { return Ok(()) };
    let ranks = ranks.count();
    if !is_cpu(device) {
        let reason = "several ranks train on the CPU; on another device, train with one";
        return Err(Error::config("training.device", reason));
    }
    if ranks > microbatches {
        let reason = format!(
            "{microbatches}, so {ranks} ranks cannot share a batch: a micro-batch is computed by one rank"
        );
        return Err(Error::config("training.microbatches", reason));
    }
    Ok(())
}

/// The checksum of a network's arrays.
fn checksum<R: Residual>(network: &Network<R>) -> u32 {
    collect(network).values().fold(0, |sum, array| {
        let numbers = array.values.iter();
        numbers.fold(sum, |sum, number| crc32c::crc32c_append(sum, &number.to_le_bytes()))
    })
}
