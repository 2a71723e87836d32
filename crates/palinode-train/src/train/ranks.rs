//! Ranks that are to train together: whether they fit together.

use super::agreement::check_same;
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
    let Some((_, ranks)) = machine.rank() else { return Ok(()) };
    let ranks = ranks.count();
    if !is_cpu(device) {
        let reason = "several ranks train on the CPU; on another device, train with one";
        return Err(Error::config("training.device", reason));
    }
    let context = network.context();
    let micro = context.microbatches().map_or(1, |own| own.count());
    if ranks > micro {
        let reason = format!(
            "{micro}, so {ranks} ranks cannot share a batch: a micro-batch is computed by one rank"
        );
        return Err(Error::config("training.microbatches", reason));
    }
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
    check_same(machine, values)
}

/// The checksum of a network's arrays.
fn checksum<R: Residual>(network: &Network<R>) -> u32 {
    collect(network).values().fold(0, |sum, array| {
        let numbers = array.values.iter();
        numbers.fold(sum, |sum, number| crc32c::crc32c_append(sum, &number.to_le_bytes()))
    })
}
