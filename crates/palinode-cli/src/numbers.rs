//! Numbers on the command line.

use clap::builder::RangedU64ValueParser;

/// A number from 1 to `limit`.
pub fn at_most(limit: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=limit)
}
