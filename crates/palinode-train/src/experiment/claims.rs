//! Which rank runs which trial.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that says that no other trial is to begin. (No trial has this name: those end in a seed.)
const STOP: &str = "stop";

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

    /// Tells the other ranks not to begin another trial.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where the file that says so cannot be made.
    pub fn stop(&self) -> Result<()> {
        let path = self.directory.join(STOP);
        File::create(&path).map(drop).map_err(Error::io(path))
    }

    /// Whether a rank has told the others to stop.
    pub fn is_stopped(&self) -> bool {
        self.directory.join(STOP).exists()
    }

    /// Removes all claims from `directory`: before the ranks begin, and when all have ended their trials.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where they cannot be removed.
    pub fn clear(directory: &Path) -> Result<()> {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(directory)(error)),
            _ => Ok(()),
        }
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
        let later = Claims::in_directory(&directory).unwrap();
        assert!(!later.is_stopped());
        other.stop().unwrap();
        assert!(later.is_stopped());
        Claims::clear(&directory).unwrap();
        Claims::clear(&directory).unwrap();
        assert!(!directory.exists());
    }
}
