//! JPEG pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::{let_panics_unwind, read_picture};

fuzz_target!(init: let_panics_unwind(), |bytes: &[u8]| {
    read_picture("q7x.jpg", bytes);
});
