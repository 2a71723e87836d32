//! Ranks that are to train together: whether they fit together.

use super::identity::Identity;
use super::lock::host;
use super::training_data::Checksums;
use crate::error::{Error, Result};
use palinode::device::is_cpu;
use palinode::network::Network;
use palinode::network::weights::collect;
use palinode::ranks::Group;
use palinode::residual::Residual;
use palinode::tensor::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What must be the same on all ranks.
#[derive(Debug, Serialize, Deserialize)]
struct Described {
    host: String,
    /// Values by what they are.
    values: BTreeMap<String, String>,
}

/// Refuses ranks that would not compute the same: with another program, instruction set, network, setting or other images.
/// All ranks call this together.
///
/// # Errors
/// [`Error::OtherRank`] naming the first rank that differs from the first one, and in what; [`palinode::Error::Config`]
/// where there are more ranks than micro-batches, and for a device that is not the CPU.
pub(super) fn check_ranks<R: Residual>(
    group: &Group,
    (network, device): (&Network<R>, &Device),
    (identity, images): (&Identity, &Checksums),
) -> Result<()> {
    let ranks = group.count();
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
    let mut values = BTreeMap::from([
        ("the program".to_owned(), program()),
        ("the instruction set".to_owned(), context.isa().to_string()),
        ("the checksum of the training images".to_owned(), format!("{:08x}", images.training)),
        (
            "the checksum of the test images".to_owned(),
            images.test.map_or_else(|| "missing".to_owned(), |sum| format!("{sum:08x}")),
        ),
    ]);
    values.insert(
        "the checksum of the initial weights".to_owned(),
        format!("{:08x}", checksum(network)),
    );
    values.extend(identity.fields());
    values.extend(identity.settings().clone());
    values.insert("training.epochs".to_owned(), identity.epochs.to_string());
    let own = Described { host: host(), values };
    let own =
        serde_json::to_vec(&own).map_err(|error| Error::config("ranks", error.to_string()))?;
    let all = group.gather(&own);
    let read = |bytes: &Vec<u8>| {
        serde_json::from_slice(bytes).map_err(|error| Error::config("ranks", error.to_string()))
    };
    compare(&all.iter().map(read).collect::<Result<Vec<Described>>>()?)
}

/// Compares all ranks with the first.
fn compare(all: &[Described]) -> Result<()> {
    let Some((first, others)) = all.split_first() else { return Ok(()) };
    for (rank, Described { host, values }) in (1..).zip(others) {
        for what in first.values.keys().chain(values.keys()) {
            let value = |of: &BTreeMap<String, String>| {
                of.get(what).cloned().unwrap_or_else(|| "unset".to_owned())
            };
            let (expected, found) = (value(&first.values), value(values));
            if found != expected {
                let (host, what) = (host.clone(), what.clone());
                return Err(Error::OtherRank { rank, host, what, found, expected });
            }
        }
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

/// The version of this program, and the checksum of its file.
fn program() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let file = std::env::current_exe().and_then(std::fs::read);
    match file {
        Ok(bytes) => format!("version {version} ({:08x})", crc32c::crc32c(&bytes)),
        Err(error) => format!("version {version} (its file cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_that_differs_is_named_with_its_host() {
        let described = |host: &str, isa: &str| Described {
            host: host.to_owned(),
            values: [("the instruction set".to_owned(), isa.to_owned())].into(),
        };
        let [first, same, other] =
            [("one", "avx512"), ("two", "avx512"), ("three", "avx2")].map(|(h, i)| described(h, i));
        compare(&[first, same, other]).unwrap_err();
        let [first, other] = [("one", "avx512"), ("three", "avx2")].map(|(h, i)| described(h, i));
        let message = compare(&[first, other]).unwrap_err().to_string();
        let expected = "rank 1 on three: the instruction set is avx2, and avx512 on the first rank";
        assert_eq!(message, expected);
        assert!(compare(&[described("one", "avx2")]).is_ok() && compare(&[]).is_ok());
    }
}
