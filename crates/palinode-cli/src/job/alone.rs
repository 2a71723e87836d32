//! Without MPI: a process works alone.

use super::launcher;
use crate::outcome;
use palinode::ContextBuilder;
use palinode::ranks::Group;
use palinode_train::train::Machine;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A process that works alone.
pub struct Job;

impl Job {
    /// Works alone.
    pub fn alone() -> Self {
        Self
    }

    /// Refuses to be one of several ranks: all of them would do the same.
    pub fn join(_: Duration) -> anyhow::Result<Self> {
        let Some(rank) = launcher::rank() else { return Ok(Self) };
        let ranks = launcher::ranks().unwrap_or(1).max(rank + 1);
        if ranks > 1 {
            anyhow::bail!(
                "started as one of {ranks} MPI ranks, but built without MPI; build it with `--features mpi`"
            );
        }
        Ok(Self)
    }

    pub fn group(&self) -> Option<Arc<Group>> {
        None
    }

    pub fn machine(&self, threads: ContextBuilder) -> Machine {
        threads.into()
    }

    pub fn is_first(&self) -> bool {
        true
    }

    pub fn leave(self, result: anyhow::Result<()>, stopped: u8) -> ExitCode {
        outcome::report(result, stopped)
    }
}
