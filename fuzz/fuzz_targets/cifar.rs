//! The binary files of CIFAR-10 and CIFAR-100.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::read;
use palinode_train::data::{SourceName, Split};

fuzz_target!(|bytes: &[u8]| {
    for (name, source) in [("test_batch.bin", SourceName::Cifar10), ("test.bin", SourceName::Cifar100)] {
        read(name, bytes, |path| {
            source.load(path.parent(), Split::Test).map_err(|error| error.to_string())
        });
    }
});
