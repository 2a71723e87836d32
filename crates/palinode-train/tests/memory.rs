//! Peak memory of whole training steps, by a counting allocator.
//!
//! One test, alone in its binary: the allocator counts for the whole process.
#![allow(clippy::unwrap_used)]

mod counted;

use counted::Allocator;
use palinode::Context;
use palinode::network::NetworkConfig;
use palinode::precision::NumberType;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::bench::{StepMeasurement, StepPlan, measure_step};

const BATCH: usize = 16;
const DEPTHS: [usize; 3] = [6, 18, 54];
/// What a step may need per byte of parameters: the parameters, their gradients and the momentum
/// make 3; the optimiser's new weights and momentum of one parameter, and the graph's book-keeping, the
/// rest.
const PARAMETER_MULTIPLE: f64 = 3.1;

fn config(blocks: usize) -> NetworkConfig {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [16, 16], 10);
    config = config.with_units([blocks; 3], [32, 64, 128]);
    config
}

/// With several threads, how much working memory is in use at one time depends on their timing.
fn one_thread() -> Context {
    Context::builder().threads(1).build().unwrap()
}

fn plan(mode: Differentiation) -> StepPlan {
    let (device, precision) = (Device::flex(), NumberType::F32);
    let modes = mode.into();
    StepPlan {
        modes,
        batch_size: BATCH,
        seed: 1,
        device,
        precision,
        state: None,
        watched: true,
        group: None,
    }
}

fn measure(mode: Differentiation) -> Vec<StepMeasurement> {
    let step =
        |&blocks| measure_step(&config(blocks), &plan(mode), &Allocator, &one_thread()).unwrap();
    DEPTHS.iter().map(step).collect()
}

/// Bytes that the peak grows by from one depth to another, beyond `PARAMETER_MULTIPLE` times the
/// parameters' own growth.
fn excess(from: &StepMeasurement, to: &StepMeasurement) -> f64 {
    let parameters = to.peak_bytes.parameters as f64 - from.peak_bytes.parameters as f64;
    to.peak_bytes.total as f64 - from.peak_bytes.total as f64 - PARAMETER_MULTIPLE * parameters
}

#[test]
fn reversible_grows_with_the_parameters_alone_and_checkpointed_with_the_root_of_depth() {
    // Warm up: thread pools and lazily made tables belong to the process, not to a step.
    measure_step(&config(2), &plan(Differentiation::Reversible), &Allocator, &one_thread())
        .unwrap();
    // Bytes of one state of every unit together: half the pixels' extents and twice the channels
    // from one unit to the next.
    let state = |unit: usize| (4 * BATCH * (32 << unit) * (16 >> unit) * (16 >> unit)) as f64;
    let states: f64 = (0..3).map(state).sum();

    let reversible = measure(Differentiation::Reversible);
    for pair in reversible.windows(2) {
        let excess = excess(&pair[0], &pair[1]);
        assert!(excess <= 0.0, "reversible grows by {excess} bytes too many: {pair:?}");
    }

    let checkpointed = measure(Differentiation::Checkpointed);
    for row in &checkpointed[1..] {
        let excess = excess(&checkpointed[0], row);
        let bound = 2.0 * (row.blocks as f64).sqrt() * states;
        assert!(excess <= bound, "checkpointed grows by {excess}, more than {bound}: {row:?}");
    }

    // The control: the same two assertions must fail where everything is stored.
    let stored = measure(Differentiation::Stored);
    for pair in stored.windows(2) {
        assert!(excess(&pair[0], &pair[1]) > 0.0, "the reversible bound cannot fail: {pair:?}");
    }
    let bound = 2.0 * 54_f64.sqrt() * states;
    assert!(excess(&stored[0], &stored[2]) > bound, "the checkpointed bound cannot fail");

    for rows in [&stored, &checkpointed, &reversible] {
        for row in rows {
            println!("{row:?}");
        }
    }
}
