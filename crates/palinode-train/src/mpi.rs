//! Ranks of an MPI job.
//!
//! `mpirun`, or a batch system, starts the same program several times. Each becomes a rank of the job:
//!
//! ```no_run
//! use palinode_train::mpi::Job;
//!
//! let job = Job::begin()?;
//! println!("rank {} of {}", job.group().rank(), job.group().count());
//! job.end();
//! # Ok::<(), palinode_train::Error>(())
//! ```

use crate::error::{Error, Result};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::{Request, Scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};
use palinode::ranks::{Channel, Delayed, Group, Link};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The name of this machine.
pub fn host() -> String {
    crate::train::host()
}

/// A rank's membership in an MPI job.
///
/// An error of MPI ends the whole job, as is its default. If this is dropped before the [end](Self::end), MPI is not left:
/// the launcher then ends the other ranks, which would wait for this one for ever.
pub struct Job {
    universe: ManuallyDrop<Universe>,
    group: Arc<Group>,
}

impl Job {
    /// Joins the job.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] if the process has joined before, if this MPI cannot be called from several threads, and
    /// unless the number of ranks is a power of two.
    pub fn begin() -> Result<Self> {
        Self::begin_delayed(Duration::ZERO)
    }

    /// [`begin`](Self::begin) with messages that arrive so much later, to measure what that costs.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_delayed(delay: Duration) -> Result<Self> {
        let joined = mpi::initialize_with_threading(Threading::Multiple);
        let Some((universe, threading)) = joined else {
            return Err(Error::config("mpi", "this process has joined an MPI job before"));
        };
        let universe = ManuallyDrop::new(universe);
        if threading < Threading::Multiple {
            let reason = "this MPI cannot be called from several threads (MPI_THREAD_MULTIPLE)";
            return Err(Error::config("mpi", reason));
        }
        let world = World::new(&universe.world());
        let group = Group::new(Delayed::new(world, delay))?;
        Ok(Self { universe, group: Arc::new(group) })
    }

    /// The ranks of the job.
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Leaves the job, when all ranks do.
    pub fn end(self) {
        let Self { universe, group } = self;
        drop(group);
        drop(ManuallyDrop::into_inner(universe));
    }

    /// Ends the processes of all ranks, with this exit code.
    pub fn abort(self, code: i32) -> ! {
        self.universe.world().abort(code)
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("group", &self.group).finish_non_exhaustive()
    }
}

/// All ranks of the job.
#[derive(Clone, Copy, Debug)]
struct World {
    rank: usize,
    count: usize,
}

impl World {
    fn new(world: &SimpleCommunicator) -> Self {
        // MPI counts from 0.
        Self {
            rank: world.rank().unsigned_abs() as usize,
            count: world.size().unsigned_abs() as usize,
        }
    }
}

/// How long a rank asks again and again whether a message is there, before it sleeps between two questions.
const ATTENTIVE: Duration = Duration::from_millis(5);

/// How long it then sleeps, and how long a rank sleeps that waits in the background.
const ASLEEP: Duration = Duration::from_micros(50);

impl Link for World {
    fn count(&self) -> usize {
        self.count
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn exchange(&self, partner: usize, channel: Channel, out: &[u8], into: &mut [u8]) {
        let world = SimpleCommunicator::world();
        let other = world.process_at_rank(partner as i32);
        let tag = match channel {
            Channel::Sums => 1,
            Channel::Gradients => 2,
        };
        scope(|scope| {
            let received = other.immediate_receive_into_with_tag(scope, into, tag);
            let sent = other.immediate_send_with_tag(scope, out, tag);
            let since = Instant::now();
            let wait = || match channel {
                Channel::Sums if since.elapsed() < ATTENTIVE => std::thread::yield_now(),
                _ => std::thread::sleep(ASLEEP),
            };
            wait_for(received, wait);
            wait_for(sent, wait);
        });
    }
}

/// Waits for a request. (MPI itself would use a whole core for that, which others may need.)
fn wait_for<'a, D: ?Sized, S: Scope<'a>>(request: Request<'a, D, S>, wait: impl Fn()) {
    let mut open = request;
    while let Err(still) = open.test() {
        open = still;
        wait();
    }
}
