//! Arrays of numbers, as the program reads them.
#![no_main]
#![allow(dead_code)] // writing them

#[path = "../../crates/palinode-cli/src/arrays.rs"]
mod arrays;

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::{let_panics_unwind, read};

fuzz_target!(init: let_panics_unwind(), |bytes: &[u8]| {
    read("q7x.npy", bytes, |path| {
        let labels = arrays::read::<i64>(path).map_err(|error| format!("{error:#}"));
        arrays::read::<f32>(path).map_err(|error| format!("{error:#}"))?;
        labels
    });
});
