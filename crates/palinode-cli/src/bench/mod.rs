//! `palinode bench`.

mod memory;
mod resident;
mod step;

use clap::Subcommand;
use palinode::analysis::Meter;

/// Sub-commands of `palinode bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Time and peak bytes of a whole training step on random images.
    Step(step::Step),
    /// Peak bytes and seconds of a training step against depth, on random images.
    Memory(memory::Memory),
}

/// The program's counting allocator.
struct Allocator;

impl Meter for Allocator {
    fn current(&self) -> usize {
        crate::MEMORY.current_usage()
    }

    fn peak(&self) -> usize {
        crate::MEMORY.peak_usage()
    }

    fn reset_peak(&self) {
        crate::MEMORY.reset_peak_usage();
    }
}

impl Bench {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Step(step) => step.run(),
            Self::Memory(memory) => memory.run(),
        }
    }
}
