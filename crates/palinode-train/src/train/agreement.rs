//! What must be the same on all ranks.

use super::lock::host;
use super::machine::Machine;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What must be the same on all ranks.
#[derive(Debug, Serialize, Deserialize)]
struct Described {
    host: String,
    /// Values by what they are.
    values: BTreeMap<String, String>,
}

/// Refuses ranks with another program, or with other values, than the first one. All ranks call this together.
///
/// # Errors
/// As [`check_same`].
pub(super) fn check_program(machine: &Machine, mut values: BTreeMap<String, String>) -> Result<()> {
    if !machine.is_alone() {
        values.insert("the program".to_owned(), program());
    }
    check_same(machine, values)
}

/// Refuses ranks with other values than the first one. All ranks call this together.
///
/// # Errors
/// [`Error::OtherRank`] naming the first rank that differs from the first one, and in what.
pub(super) fn check_same(machine: &Machine, values: BTreeMap<String, String>) -> Result<()> {
    if machine.is_alone() {
        return Ok(());
    }
    compare(&machine.gather(Described { host: host(), values })?)
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
