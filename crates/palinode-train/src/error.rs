//! The errors of this crate.

use std::path::{Path, PathBuf};

/// An error: what happened, where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library refused something.
    #[error(transparent)]
    Library(#[from] palinode::Error),
    /// A file or directory could not be read or written.
    #[error("{path}: {reason}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// A file's content does not follow its format.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, at which offset or field, and what was expected.
        reason: String,
    },
    /// A file could not be downloaded.
    #[error("{url}: {reason}")]
    Download {
        /// Its address.
        url: String,
        /// What went wrong, and what was expected.
        reason: String,
    },
    /// A setting, or an argument, with a value that is not allowed.
    #[error("{field}: {reason}")]
    Config {
        /// The setting, as a recipe names it.
        field: String,
        /// What is wrong and what was expected.
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
    /// The user asked to stop; the run can be resumed.
    #[error("interrupted; continue with --resume {run}", run = run.display())]
    Interrupted {
        /// The run directory.
        run: PathBuf,
    },
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] at `path`, as an adapter for `map_err`.
    pub(crate) fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |reason| Self::Io { path, reason }
    }

    /// An [`Error::Format`] in `path`.
    pub(crate) fn format(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Format { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// An [`Error::Config`] about `field`: there is no `kind` called `name` among `names`.
    pub(crate) fn unknown<'a>(
        field: &str,
        kind: &str,
        name: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        Self::config(field, format!("there is no {kind} `{name}`; there are {names}"))
    }

    /// An [`Error::Config`] about `field`.
    pub(crate) fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), reason: reason.into() }
    }
}
