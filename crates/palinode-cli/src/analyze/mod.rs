//! `palinode analyze`.

mod networks;
mod output;
mod robustness;
mod stability;

use clap::Subcommand;
use palinode::Context;

/// Sub-commands of `palinode analyze`.
#[derive(Debug, Subcommand)]
pub enum Analyze {
    /// Eigenvalues of the Jacobians of a network's units, their bounds, and the growth of small changes.
    Stability(stability::Stability),
    /// Accuracy on images with noise, and on images that are changed against the network.
    Robustness(robustness::RobustnessCommand),
}

impl Analyze {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Stability(stability) => stability.run(context),
            Self::Robustness(robustness) => robustness.run(context),
        }
    }
}
