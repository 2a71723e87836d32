//! What the program writes: results on stdout, everything else on stderr.

use anyhow::Context;
pub use palinode::wording::plain;
use std::fmt;
use std::io::Write;
use std::path::Path;

/// Writes a line to stdout, in the form of `println!`. Unlike that, it returns an error where nobody reads or
/// the disk is full.
macro_rules! say {
    ($($arguments:tt)*) => { $crate::output::line(format_args!($($arguments)*)) };
}
pub(crate) use say;

/// See [`say`].
pub fn line(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("standard output")
}

/// Writes a line to stderr. A line that nobody can read is no reason to stop.
pub fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes something to stderr that a user should know about a run or its images.
pub fn remark(text: &str) {
    note(format_args!("palinode: note: {}", plain(text)));
}

/// A path as text, for JSON; what is not UTF-8 in it becomes U+FFFD.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
