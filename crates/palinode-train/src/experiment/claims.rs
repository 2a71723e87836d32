//! Which rank runs which trial.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// The trials that this rank has claimed: each by the lock of a file, which the system releases when the process ends,
/// however it ends. All ranks see the same directory.
#[derive(Debug)]
pub(super) struct Claims {
    directory: PathBuf,
    held: Vec<File>,
}

impl Claims {
    /// No claims yet. Their files are in `directory`.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where it cannot be made.
    pub fn in_directory(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(Error::io(directory))?;
        Ok(Self { directory: directory.to_owned(), held: Vec::new() })
    }

    /// Claims the trial `name` until the end of the experiment; false where another rank has claimed it.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where the file system has no locks: then no trial can be dealt.
    pub fn claim(&mut self, name: &str) -> Result<bool> {
        let path = self.directory.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => {
                self.held.push(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(Error::io(path)(error)),
        }
    }

    /// Removes the files, when all ranks have ended their trials.
    pub fn remove(self) {
        // A file that stays claims nothing.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_claimed_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("claims");
        let [mut one, mut other] = [(); 2].map(|()| Claims::in_directory(&directory).unwrap());
        assert!(one.claim("a").unwrap() && !other.claim("a").unwrap());
        assert!(other.claim("b").unwrap() && !one.claim("b").unwrap());
        drop(one);
        assert!(other.claim("a").unwrap(), "the claims of a rank end with it");
        other.remove();
        assert!(!directory.exists());
    }
}
