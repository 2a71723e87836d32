//! What the launcher of an MPI job says of this process, in its environment.

/// The variables for the number of a rank: of Open MPI, of MPICH and its relatives, of PMIx.
const RANK: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];

/// Which rank this process was started as; `None` if it was not started by a launcher of MPI jobs.
pub fn rank() -> Option<usize> {
    number(&RANK)
}

/// How many ranks were started; `None` if the launcher does not say.
#[cfg(not(feature = "mpi"))]
pub fn ranks() -> Option<usize> {
    number(&["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"])
}

/// The first of these variables that is a number.
fn number(names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}
