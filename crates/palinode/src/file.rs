//! Atomic file writes. If a write fails or the process is killed, the old content stays complete.

use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prefix of the names of temporary files.
const TEMPORARY: &str = ".palinode-";

/// Removes the temporary files that killed processes left in `directory`. Files that cannot be
/// removed are ignored.
///
/// No other process may be writing to `directory`: its temporary files are removed too.
pub fn remove_leftovers(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if is_leftover(&entry.file_name()) {
            // A leftover file does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a file of this name is a temporary file of [`write_atomically`].
pub fn is_leftover(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(TEMPORARY)
}

/// Writes `bytes` to a temporary file in the directory of `path`, flushes it to the disk and renames
/// it to `path`.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, None, bytes)
}

/// Like [`write_atomically`], and renames what was in `path` before to `previous`. At every moment, at least
/// one of the two is complete.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn write_keeping_previous(path: &Path, previous: &Path, bytes: &[u8]) -> Result<()> {
    write(path, Some(previous), bytes)
}

fn write(path: &Path, previous: Option<&Path>, bytes: &[u8]) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let (mut file, temporary) = create_temporary(directory)?;
        let keep = || match previous {
            Some(previous) if path.is_file() => std::fs::rename(path, previous),
            _ => Ok(()),
        };
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| keep())
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            // If this fails too, `remove_leftovers` removes the file when a run starts or resumes.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    };
    write().map_err(Error::io(path))
}

/// A new file in `directory` whose name no other process or thread uses.
fn create_temporary(directory: &Path) -> std::io::Result<(File, PathBuf)> {
    let process = std::process::id();
    let mut number = 0_u32;
    loop {
        let path = directory.join(format!("{TEMPORARY}{process}-{number}.tmp"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Reads a whole file.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_file_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(folder.path().join(".palinode-0-0.tmp"), "left").unwrap();
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        let previous = folder.path().join("previous");
        write_keeping_previous(&path, &previous, b"three").unwrap();
        assert_eq!(
            (read(&path).unwrap(), read(&previous).unwrap()),
            (b"three".into(), b"two".into())
        );
        std::fs::remove_file(&path).unwrap();
        write_keeping_previous(&path, &previous, b"four").unwrap();
        assert_eq!(
            (read(&path).unwrap(), read(&previous).unwrap()),
            (b"four".into(), b"two".into())
        );
        std::fs::remove_file(&previous).unwrap();
        remove_leftovers(folder.path());
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let message =
            write_atomically(&folder.path().join("no/such"), b"").unwrap_err().to_string();
        assert!(message.contains("no/such"), "{message}");
        assert!(write_atomically(folder.path(), b"").is_err(), "a directory is not replaced");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
