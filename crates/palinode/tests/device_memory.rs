//! What a unit keeps on the device between forward and backward pass. (Alone in its binary: other tests would
//! allocate on the same device.)
#![cfg(feature = "cube")]
#![allow(clippy::unwrap_used)]

#[path = "devices/device.rs"]
mod device;
mod support;

use burn::tensor::{Device, FloatDType};
use device::moved;
use palinode::Activation;
use palinode::reversible::Differentiation;
use palinode::scheme::SchemeName;
use support::Case;

/// Bytes in use after a forward pass beyond those before it, while its output is held.
fn kept(case: Case, mode: Differentiation, device: &Device) -> u64 {
    let unit = moved(&case.unit(mode), device);
    let input = case.input().to_device(device).autodiff().require_grad();
    let in_use = || {
        device.sync().unwrap();
        device.memory_pool_usage().unwrap().bytes_in_use
    };
    // The first pass compiles and keeps what compiling needs.
    drop(unit.forward(input.clone(), support::PHASE).unwrap().sum().backward());
    let before = in_use();
    let output = unit.forward(input.clone(), support::PHASE).unwrap();
    let kept = in_use() - before;
    drop(output.sum().backward());
    kept
}

#[test]
fn a_reversible_unit_keeps_as_much_at_any_depth_and_a_stored_one_does_not() {
    let Some(device) = device::device() else { return };
    for scheme in SchemeName::REVERSIBLE {
        let of = |mode, blocks| {
            let (dtype, activation) = (FloatDType::F32, Activation::Tanh);
            let case = Case { blocks, dtype, activation, ..Case::new(scheme) };
            kept(Case { channels: 8, height: 16, width: 16, batch: 4, ..case }, mode, &device)
        };
        let [few, many] = [3, 12].map(|blocks| of(Differentiation::Reversible, blocks));
        assert_eq!(few, many, "{scheme:?}");
        let [few, many] = [3, 12].map(|blocks| of(Differentiation::Stored, blocks));
        assert!(many > 3 * few, "{scheme:?}: stored keeps {few} and {many} bytes");
        let [few, many] = [4, 16].map(|blocks| of(Differentiation::Checkpointed, blocks));
        assert!(
            many > few && many < 3 * few,
            "{scheme:?}: checkpointed keeps {few} and {many} bytes"
        );
    }
}
