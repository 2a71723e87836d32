//! Checkpoints. (Checksums are not compared in builds for fuzzing.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::read;
use palinode_train::train::read_position;

fuzz_target!(|bytes: &[u8]| {
    read("q7x.safetensors", bytes, |path| read_position(path).map_err(|error| error.to_string()));
});
