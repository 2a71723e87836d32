//! Files that are either the old one or the new one, never half of it.

use crate::error::{Error, Result};
use std::io::Write;
use std::path::Path;

/// How temporary files' names begin.
const TEMPORARY: &str = ".palinode-";

/// Removes temporary files that a killed process left in `directory`.
pub(crate) fn remove_leftovers(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // One that cannot be removed does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Writes `bytes` to a temporary file beside `path`, flushes it to the disk and renames it.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(directory)
            // Its message names the temporary file, which is nobody's concern.
            .map_err(|error| std::io::Error::from(error.kind()))?;
        file.write_all(bytes)?;
        // Temporary files are private; results are as readable as any other file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(Error::io(path))
}

/// Reads a whole file.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(Error::io(path))
}
