//! What stays in memory of forward passes that no backward pass follows.
//!
//! One test, alone in its binary: the allocator counts for the whole process.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::reversible::Differentiation;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const PASSES: usize = 100;

/// Bytes that a forward pass without a backward pass leaves behind.
fn growth(network: &Network, device: &Device) -> f64 {
    let forward = |step: u64| {
        let images = Tensor::<4>::ones([8, 1, 16, 16], device);
        drop(network.forward(images, Phase::Training { seed: 0, step }).unwrap());
    };
    // The first ones make tables and scratch memory, which belong to the process.
    (0..3).for_each(forward);
    let before = MEMORY.current_usage();
    (0..PASSES as u64).for_each(forward);
    (MEMORY.current_usage() as f64 - before as f64) / PASSES as f64
}

/// Burn's graph keeps what was recorded until the next backward pass: plain operations too. A reversible
/// network adds one state for each unit to that and a list of its parameters, however large they are; inference
/// and `valid` leave nothing.
#[test]
fn a_reversible_network_leaves_one_state_per_unit_and_a_list_of_parameters() {
    let config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [16, 16], 10);
    let device = Device::flex().autodiff();
    let of = |blocks: usize, mode| {
        let config = config.clone().with_units([blocks; 3], [16, 32, 64]);
        let network = config.init(0, mode, &device).unwrap();
        let found = growth(&network, &device);
        // The next backward pass frees it.
        let images = Tensor::<4>::ones([8, 1, 16, 16], &device);
        let live = MEMORY.current_usage();
        let logits = network.forward(images, Phase::Training { seed: 0, step: 0 }).unwrap();
        drop(logits.sum().backward());
        let freed = live as f64 - MEMORY.current_usage() as f64;
        println!(
            "{blocks} blocks, {mode:?}: {found:.0} bytes a pass; a backward pass freed {freed:.0}"
        );
        assert!(freed > 0.9 * found * PASSES as f64, "{freed} of {}", found * PASSES as f64);
        found
    };
    let few = of(2, Differentiation::Reversible);
    let many = of(12, Differentiation::Reversible);
    let state = |unit: usize| (4 * 8 * (16 << unit) * (256 >> (2 * unit))) as f64;
    assert!(few > (0..3).map(state).sum(), "the states themselves are {few} bytes");
    // With the depth, only the list of the parameters grows: kernel and bias of two residuals a block.
    let parameters = (10 * 3 * 2 * 2) as f64;
    assert!(many - few < 1600.0 * parameters, "{few} with 2 blocks a unit, {many} with 12");
    let stored = [of(2, Differentiation::Stored), of(12, Differentiation::Stored)];
    assert!(stored[1] > 3.0 * stored[0] && stored[0] > few, "plain operations grow: {stored:?}");

    let network = config.with_units([2; 3], [16, 32, 64]);
    let network = network.init(0, Differentiation::Reversible, &device).unwrap().valid();
    let inference = growth(&network, &Device::flex());
    assert!(inference.abs() < 1000.0, "{inference} bytes stay of a pass without a graph");
}
