//! The job that this process is part of: it works alone, or it is one of several ranks that MPI has started.

#[cfg(not(feature = "mpi"))]
mod alone;
mod launcher;
#[cfg(feature = "mpi")]
mod ranks;

#[cfg(not(feature = "mpi"))]
pub use alone::Job;
#[cfg(feature = "mpi")]
pub use ranks::Job;
