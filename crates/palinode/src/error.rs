//! What can go wrong, in words for the person who has to mend it.

use std::path::{Path, PathBuf};

/// The library's error: what happened, where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{path}: {reason}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        reason: std::io::Error,
    },
    /// A file's content is not what its format asks for.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, at which offset or field, and what was expected.
        reason: String,
    },
    /// A setting that cannot be meant.
    #[error("{field}: {reason}")]
    Config {
        /// The setting, as a recipe names it.
        field: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// A residual that cannot be evaluated twice with the same result was put in a mode that does so.
    #[error(
        "differentiation mode `{mode}` evaluates every residual again during the backward pass, but \
         {residual} holds {effect}; use mode `stored`"
    )]
    NotRepeatable {
        /// The mode asked for.
        mode: &'static str,
        /// The residual's type.
        residual: &'static str,
        /// What it holds.
        effect: &'static str,
    },
    /// A residual returned what no scheme can use.
    #[error("{residual}: {reason}")]
    Residual {
        /// The residual's type and its place.
        residual: String,
        /// What it returned and what was expected.
        reason: String,
    },
    /// An input that does not suit a unit or a network.
    #[error("input: {found}, expected {expected}")]
    Input {
        /// Its shape and type.
        found: String,
        /// What they should be.
        expected: String,
    },
    /// Something needs more memory than there is.
    #[error("needs {needed} of memory, but {available} are available")]
    Memory {
        /// All of it, and its parts.
        needed: String,
        /// What is there.
        available: String,
    },
    /// The inverse of a scheme that has none was asked for.
    #[error("the scheme has no inverse; use mode `stored` or `checkpointed`")]
    NoInverse,
    /// The kernels refused a call.
    #[error(transparent)]
    Kernels(#[from] palinode_kernels::Error),
    /// A tensor on a device whose backend the reversible node does not support.
    #[error(
        "reversible and checkpointed modes run on the Flex (CPU) backend; this tensor is on {0}"
    )]
    Backend(String),
}

/// Result with the library's [`Error`].
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
