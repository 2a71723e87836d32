//! The library's error type.

use std::path::{Path, PathBuf};

/// The library's error. Every message says what happened, where, and what was expected.
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
    /// A file's content does not conform to its format.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, at which offset or field, and what was expected.
        reason: String,
    },
    /// A setting or an argument is invalid.
    #[error("{field}: {reason}")]
    Config {
        /// The setting's name, as in a recipe.
        field: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// The mode evaluates every residual twice, but this residual has side effects, so that a second
    /// evaluation can give another result.
    #[error(
        "differentiation mode `{mode}` evaluates every residual again during the backward pass, but \
         {residual} uses {effect}; use mode `stored`"
    )]
    NotRepeatable {
        /// The requested mode.
        mode: &'static str,
        /// The residual's type.
        residual: &'static str,
        /// The side effect.
        effect: &'static str,
    },
    /// A residual returned a value that no scheme can use, or contradicts its own description.
    #[error("{residual}: {reason}")]
    Residual {
        /// The residual's type and, if known, its position in the network.
        residual: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// An input has the wrong shape or element type for a unit or a network.
    #[error("input: {found}, expected {expected}")]
    Input {
        /// The input's shape or element type.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// More memory is needed than is available.
    #[error("needs {needed} of memory, but only {available} is available")]
    Memory {
        /// The total, followed by what it consists of.
        needed: String,
        /// The available memory.
        available: String,
    },
    /// A device could not do what it was given, for instance because its memory is full.
    #[error("the device failed: {0}")]
    Device(String),
    /// An inverse was requested, but the scheme has none.
    #[error("the scheme has no inverse; use mode `stored` or `checkpointed`")]
    NoInverse,
    /// `palinode-kernels` returned an error.
    #[error(transparent)]
    Kernels(#[from] palinode_kernels::Error),
    /// The tensor is on a device for which this library was not built, so that the reversible and
    /// checkpointed modes cannot record their nodes there.
    #[error(
        "palinode was built without support for the device of this tensor, {0}; build it with the feature of \
         the device: wgpu, vulkan, cuda, metal or rocm"
    )]
    Backend(String),
}

/// `Result` with the library's [`Error`] as its error type.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] at `path`, as an adapter for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |reason| Self::Io { path, reason }
    }

    /// An [`Error::Format`] in `path`.
    pub fn format(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Format { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// An [`Error::Config`] about `field`: `names` contains no `kind` called `name`.
    pub fn unknown<'a>(
        field: &str,
        kind: &str,
        name: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        Self::config(field, format!("there is no {kind} `{name}`; expected one of {names}"))
    }

    /// An [`Error::Config`] about `field`.
    pub fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { field: field.into(), reason: reason.into() }
    }
}
