//! `palinode bench`.

mod convolutions;
mod memory;
mod ranks;
mod reversal;
mod step;
mod timing;

use clap::Subcommand;
use palinode::Context;
use palinode::ranks::Group;
use std::sync::Arc;
use std::time::Duration;

/// Sub-commands of `palinode bench`.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Time and peak bytes of a whole training step on random images.
    Step(step::Step),
    /// Time of sums over the ranks of an MPI job: what their network takes.
    Ranks(ranks::Ranks),
    /// Peak bytes and seconds of a training step against depth, on random images.
    Memory(memory::Memory),
    /// Time of the plain convolutions of resnet-32, forward and backward, on random images.
    Convolutions(convolutions::Convolutions),
    /// How exactly the units of trained networks reverse: for each unit the relative error of its
    /// reconstructed input.
    Reversal(reversal::Reversal),
}

impl Bench {
    /// Whether the ranks of an MPI job do it together.
    pub fn is_for_ranks(&self) -> bool {
        matches!(self, Self::Step(_) | Self::Ranks(_))
    }

    /// How much later the messages between ranks are to arrive.
    pub fn link_delay(&self) -> Duration {
        match self {
            Self::Step(step) => step.link_delay(),
            _ => Duration::ZERO,
        }
    }

    /// `group`: the ranks that share the batch of a step, if there are several.
    pub fn run(self, context: &Context, group: Option<Arc<Group>>) -> anyhow::Result<()> {
        match self {
            Self::Step(step) => step.run(context, group),
            Self::Ranks(ranks) => ranks.run(group.as_ref()),
            Self::Memory(memory) => memory.run(context),
            Self::Convolutions(convolutions) => convolutions.run(context),
            Self::Reversal(reversal) => reversal.run(context),
        }
    }
}
