//! The formula for the peak of a training step's memory against a counting allocator.
//!
//! One test, alone in its binary: the allocator counts for the whole process.
#![allow(clippy::unwrap_used)]

mod counted;

use counted::Allocator;
use palinode::Context;
use palinode::network::{MemoryModel, Modes, NetworkConfig, Variant};
use palinode::precision::NumberType;
use palinode::reversible::Differentiation::{Checkpointed, Reversible, Stored};
use palinode::tensor::Device;
use palinode_train::bench::{StepPlan, measure_step};

/// A network and how many images a step of it takes, and in which modes.
struct Case {
    config: NetworkConfig,
    modes: Modes,
    batch: usize,
}

fn case(name: &str, blocks: usize, size: usize, modes: impl Into<Modes>, batch: usize) -> Case {
    let mut config = NetworkConfig::named(name).unwrap().for_data(3, [size; 2], 10);
    config.blocks.fill(blocks);
    Case { config, modes: modes.into(), batch }
}

impl Case {
    fn variant(mut self, variant: Variant) -> Self {
        self.config = self.config.with_variant(variant);
        self.config.blocks.fill(2);
        self
    }

    fn normed(mut self) -> Self {
        self.config.block_norm = true;
        self
    }

    /// Measured and by the formula, in bytes.
    fn both(&self) -> (f64, f64) {
        // With several threads, how much working memory is in use at one time depends on their timing.
        let context = Context::builder().threads(1).build().unwrap();
        let plan = StepPlan {
            modes: self.modes.clone(),
            batch_size: self.batch,
            seed: 1,
            device: Device::flex(),
            precision: NumberType::F32,
            state: None,
            watched: true,
            group: None,
        };
        let measured = measure_step(&self.config, &plan, &Allocator, &context).unwrap();
        let model = MemoryModel::new(&self.config, &context).unwrap();
        let formula = model.peak(&self.modes, self.batch).unwrap();
        (measured.peak_bytes.total as f64, formula.total() as f64)
    }
}

#[test]
fn the_formula_is_within_a_tenth_of_what_a_step_takes() {
    // Warm up: thread pools and lazily made tables belong to the process, not to a step.
    case("hamiltonian-74", 2, 32, Reversible, 16).both();
    let cases = [
        // The networks of the paper in all modes, deep ones, and large images.
        case("hamiltonian-74", 6, 32, Reversible, 16),
        case("hamiltonian-74", 6, 32, Checkpointed, 16),
        case("hamiltonian-74", 6, 32, Stored, 16),
        case("midpoint-26", 4, 32, Reversible, 16),
        case("midpoint-26", 4, 32, Checkpointed, 16),
        case("midpoint-26", 4, 32, Stored, 16),
        case("leapfrog-26", 4, 32, Reversible, 16),
        case("leapfrog-26", 4, 32, Checkpointed, 16),
        case("leapfrog-26", 4, 32, Stored, 16),
        case("hamiltonian-single", 4, 32, Reversible, 16),
        case("hamiltonian-218", 18, 32, Reversible, 32),
        case("hamiltonian-218", 18, 32, Checkpointed, 32),
        case("hamiltonian-74", 6, 128, Reversible, 4),
        case("hamiltonian-74", 6, 256, Reversible, 2),
        case("hamiltonian-74", 6, 256, Reversible, 8),
        case("hamiltonian-74", 6, 256, Checkpointed, 2),
        case("leapfrog-26", 4, 256, Reversible, 1),
        // With norms, the report's variants, the baselines.
        case("hamiltonian-74", 4, 32, Reversible, 16).normed(),
        case("hamiltonian-74", 4, 32, Stored, 16).normed(),
        case("midpoint-26", 4, 32, Reversible, 16).normed(),
        case("hamiltonian-74", 2, 32, Reversible, 16).variant(Variant::Inception),
        case("leapfrog-26", 2, 32, Checkpointed, 16).variant(Variant::Inception),
        case("midpoint-26", 2, 32, Stored, 16).variant(Variant::Inception),
        case("revnet-38", 3, 32, Reversible, 16),
        case("revnet-38", 3, 32, Stored, 16),
        case("resnet-32", 5, 32, Stored, 16),
        case("resnet-32", 5, 128, Stored, 4),
        case("resnet-32", 5, 256, Checkpointed, 2),
        case("resnet-110", 18, 32, Checkpointed, 32),
        case("resnet-32", 5, 128, vec![Checkpointed, Stored, Stored], 4),
        case("resnext-29", 2, 32, Stored, 2),
        case("resnext-29", 2, 32, Checkpointed, 2),
    ];
    let mut wrong = Vec::new();
    for case in cases {
        let (measured, formula) = case.both();
        let off = formula / measured - 1.0;
        let line = format!(
            "{} of {} blocks a unit, {}×{}, batch {}, {}: measured {:.1} MB, formula {:.1} MB, {:+.1} %",
            case.config.model,
            case.config.blocks[0],
            case.config.size[0],
            case.config.size[1],
            case.batch,
            case.modes,
            measured / 1e6,
            formula / 1e6,
            100.0 * off,
        );
        println!("{line}");
        if off.abs() > 0.1 {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
