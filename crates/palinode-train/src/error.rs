//! The errors of this crate.

use std::path::{Path, PathBuf};

/// An error: what happened, where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file, a setting or a value that the library or this crate refused.
    #[error(transparent)]
    Library(#[from] palinode::Error),
    /// A file could not be downloaded.
    #[error("{url}: {reason}")]
    Download {
        /// Its address.
        url: String,
        /// What went wrong, and what was expected.
        reason: String,
    },
    /// A loss or a weight became NaN or infinite.
    #[error("{what} is not finite ({place})")]
    NonFinite {
        /// Which number.
        what: &'static str,
        /// At which step it happened, and where the last good state is.
        place: String,
    },
    /// States or gradients drift too far in the reversible mode.
    #[error(
        "unit {unit}: {what} by {drift:.1e} ({place}); a smaller step size or mode `checkpointed` helps"
    )]
    Drift {
        /// What differs from what.
        what: &'static str,
        /// Which unit.
        unit: usize,
        /// The relative difference.
        drift: f64,
        /// At which step it was found.
        place: String,
    },
    /// A measurement of a network failed.
    #[error("{what} could not be computed: {reason}")]
    Analysis {
        /// What was to be measured.
        what: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// The first of several ranks failed, so the others stop. It says why.
    #[error("the first rank could not go on")]
    FirstRank,
    /// Two ranks do not fit together.
    #[error("rank {rank} on {host}: {what} is {found}, and {expected} on the first rank")]
    OtherRank {
        /// The rank.
        rank: usize,
        /// Its machine.
        host: String,
        /// What differs: the version, the instruction set, a setting, the images.
        what: String,
        /// What that rank has.
        found: String,
        /// What the first rank has.
        expected: String,
    },
    /// Some trials of an experiment failed. The others are finished.
    #[error("{} failed: {}", trials(failed.len()), failed.join("; "))]
    Trials {
        /// Which, and why.
        failed: Vec<String>,
    },
    /// The user asked to stop an experiment; it can be resumed.
    #[error("interrupted; the same command goes on where the experiment stopped")]
    ExperimentInterrupted,
    /// The user asked to stop; the run can be resumed.
    #[error("interrupted; continue with --resume {run}", run = run.display())]
    Interrupted {
        /// The run directory.
        run: PathBuf,
    },
}

/// So many trials, in words.
fn trials(count: usize) -> String {
    if count == 1 { "1 trial".to_owned() } else { format!("{count} trials") }
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// [`palinode::Error::Io`] at `path`, as an adapter for `map_err`.
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let io = palinode::Error::io(path);
        move |reason| io(reason).into()
    }

    /// [`Drift`](Self::Drift) of the state of a unit.
    pub fn state_drift(unit: usize, drift: f64, place: String) -> Self {
        let what = "the state that came back differs from that of the forward pass";
        Self::Drift { what, unit, drift, place }
    }

    /// [`palinode::Error::Format`] in `path`.
    pub(crate) fn format(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        palinode::Error::format(path, reason).into()
    }

    /// [`palinode::Error::Config`] about `field`: there is no `kind` called `name` among `names`.
    pub(crate) fn unknown<'a>(
        field: &str,
        kind: &str,
        name: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        palinode::Error::unknown(field, kind, name, names).into()
    }

    /// [`palinode::Error::Config`] about `field`.
    pub(crate) fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        palinode::Error::config(field, reason).into()
    }
}
