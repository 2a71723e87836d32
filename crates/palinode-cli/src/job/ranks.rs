//! With MPI: a process works alone, or as one of several ranks.

use super::launcher;
use crate::outcome;
use palinode::ContextBuilder;
use palinode::ranks::Group;
use palinode_train::Error;
use palinode_train::mpi;
use palinode_train::train::Machine;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long a rank waits before it says what went wrong: what went wrong on all ranks is said by the first one, whose end is
/// that of the job.
const FIRST_SPEAKS: Duration = Duration::from_secs(3);

/// A process that works alone, or a rank of an MPI job.
pub struct Job(Option<mpi::Job>);

impl Job {
    /// Works alone.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Joins the MPI job that this process was started for, if it was. Messages arrive so much later.
    pub fn join(delay: Duration) -> anyhow::Result<Self> {
        let Some(rank) = launcher::rank() else { return Ok(Self::alone()) };
        match mpi::Job::begin_delayed(delay) {
            Ok(job) => Ok(Self(Some(job))),
            Err(error) => {
                if rank > 0 {
                    std::thread::sleep(FIRST_SPEAKS);
                }
                Err(error.into())
            }
        }
    }

    /// All ranks, if there are several.
    pub fn group(&self) -> Option<Arc<Group>> {
        let all = self.0.as_ref().map(|job| job.group().clone());
        all.filter(|group| group.count() > 1)
    }

    /// These threads, in the group of all ranks.
    pub fn machine(&self, threads: ContextBuilder) -> Machine {
        Machine::from(threads).with_group(self.group())
    }

    /// Whether this is the rank that speaks.
    pub fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(|job| job.group().rank() == 0)
    }

    /// Ends this process's part. An error of one rank ends all ranks.
    pub fn leave(self, result: anyhow::Result<()>, stopped: u8) -> ExitCode {
        let Some(job) = self.0 else { return outcome::report(result, stopped) };
        let rank = job.group().rank();
        let Err(error) = result else {
            job.end();
            return ExitCode::SUCCESS;
        };
        if let Some(Error::Interrupted { .. } | Error::ExperimentInterrupted) = error.downcast_ref()
        {
            // All ranks have agreed to stop.
            let code = match rank {
                0 => outcome::say(&error, stopped),
                _ => outcome::code(&error, stopped),
            };
            job.end();
            return ExitCode::from(code);
        }
        let error = match rank {
            0 => error,
            _ => {
                std::thread::sleep(FIRST_SPEAKS);
                error.context(format!("rank {rank} on {}", mpi::host()))
            }
        };
        job.abort(outcome::say(&error, stopped).into())
    }
}
