//! One process at a time: the lock of a run's or an experiment's directory.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

/// The file whose lock is held. It stays when the lock is released: the system releases it when the process
/// ends, however it ends.
pub(crate) const LOCK_FILE: &str = "palinode.lock";

/// The lock of a directory, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `directory`. Where its file system has no locks, the second value says so.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] naming the process that holds the lock; [`palinode::Error::Io`].
    pub fn take(directory: &Path) -> Result<(Self, Option<String>)> {
        let path = directory.join(LOCK_FILE);
        refuse_link(&path)?;
        // The content of a lock that another process holds must stay.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(Error::io(&path))?;
        let remark = match file.try_lock() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds the lock may not have written its name yet.
                let _ = file.take(200).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process",
                    holder => holder,
                };
                let reason = format!("{} is in use by {holder}", directory.display());
                return Err(Error::config("run", reason));
            }
            Err(TryLockError::Error(error)) => Some(format!(
                "{} cannot be locked ({error}): make sure that no other process works in it",
                directory.display()
            )),
        };
        let holder = format!("process {} on {}\n", std::process::id(), host());
        file.set_len(0)
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(Error::io(&path))?;
        Ok((Self { _file: file }, remark))
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Refuses a symbolic link where a run has a file or a folder of its own: what it leads to would be changed.
///
/// # Errors
/// [`palinode::Error::Format`] naming the link.
pub(super) fn refuse_link(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let reason =
                "a symbolic link; a run writes and deletes in files and folders of its own only";
            Err(Error::format(path, reason))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped_and_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, remark) = Lock::take(folder.path()).unwrap();
        assert_eq!(remark, None);
        let message = Lock::take(folder.path()).unwrap_err().to_string();
        let holder = format!("in use by process {} on {}", std::process::id(), host());
        assert!(message.contains(&holder), "{message}");
        drop(lock);
        Lock::take(folder.path()).unwrap();
        std::fs::write(folder.path().join(LOCK_FILE), "process 1 on the moon").unwrap();
        Lock::take(folder.path()).expect("what a killed process left behind is no lock");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_no_lock_file() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("precious");
        std::fs::write(&elsewhere, "content").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(LOCK_FILE)).unwrap();
        let message = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(message.contains("a symbolic link"), "{message}");
        assert_eq!(std::fs::read(elsewhere).unwrap(), b"content");
    }
}
