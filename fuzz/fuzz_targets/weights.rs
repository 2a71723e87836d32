//! Weight files, and the networks that they describe.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode::network::WeightFile;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_fuzz::read;

fuzz_target!(|bytes: &[u8]| {
    read("q7x.safetensors", bytes, |path| {
        let file = WeightFile::load(path).map_err(|error| error.to_string())?;
        file.network(Differentiation::Stored, &Device::flex()).map_err(|error| error.to_string())
    });
});
