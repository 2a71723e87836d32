//! The run directory: which files a run writes.

use super::lock::{LOCK_FILE, Lock, refuse_link};
use crate::error::{Error, Result};
use palinode::file::{is_leftover, remove_leftovers};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Paths of one run.
///
/// `config.toml` (the recipe, resolved), `metrics.csv`, `weights/{init,best,last}.safetensors`,
/// `checkpoints/{latest,previous,damaged}.safetensors`, `result.json`, `curves.svg`, `events.out.tfevents.*` (for
/// TensorBoard), `report.html`, and `palinode.lock`, which is locked while a process works in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory(PathBuf);

/// Where a new run is to be.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// In this directory, which must be free ([`RunDirectory::check_free`]).
    At(&'a Path),
    /// In `parent/name`, or `parent/name-2`, `-3`, …: the first that does not exist. No other process gets
    /// the same one.
    New {
        /// The directory that it is made in.
        parent: &'a Path,
        /// Its name.
        name: &'a str,
    },
}

impl<'a> From<&'a Path> for Place<'a> {
    fn from(path: &'a Path) -> Self {
        Self::At(path)
    }
}

impl<'a> From<&'a PathBuf> for Place<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::At(path)
    }
}

impl<'a> Place<'a> {
    /// Checks that a run can begin there, as far as that is known before it does.
    pub(super) fn check_free(self) -> Result<()> {
        match self {
            Self::At(path) => RunDirectory::at(path).check_free(),
            Self::New { .. } => Ok(()),
        }
    }

    /// The directory, or the one that it is made in.
    pub(super) fn path(self) -> &'a Path {
        match self {
            Self::At(path) => path,
            Self::New { parent, .. } => parent,
        }
    }
}

impl RunDirectory {
    /// Makes a new run directory and locks it. What a run that never started left there is removed.
    ///
    /// # Errors
    /// As [`check_free`](Self::check_free); [`palinode::Error::Config`] where another process uses it,
    /// [`palinode::Error::Io`] where it cannot be made.
    pub(super) fn create(place: Place<'_>) -> Result<(Self, Lock, Option<String>)> {
        let path = &match place {
            Place::At(path) => {
                Self::at(path).check_free()?;
                std::fs::create_dir_all(path).map_err(Error::io(path))?;
                path.to_owned()
            }
            Place::New { parent, name } => Self::claim(parent, name)?,
        };
        let directory = Self::at(path);
        let (lock, remark) = Lock::take(path)?;
        // Another process may have begun a run since.
        directory.check_free()?;
        match std::fs::remove_file(directory.config()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(directory.config())(error));
            }
            _ => directory.prepare()?,
        }
        Ok((directory, lock, remark))
    }

    /// Checks that a new run can begin in this directory: it does not exist, it is empty, or it holds
    /// only what a run that was killed before its first step left behind.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where it holds something else.
    pub fn check_free(&self) -> Result<()> {
        let names = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>(),
            Err(_) => return Ok(()),
        };
        // A run makes its lock file first: without one, nothing here is a run's.
        let begun = names.iter().any(|name| name == LOCK_FILE);
        let fits = |name: &OsStr| {
            let file = name == "config.toml" || name == LOCK_FILE;
            let folder = (name == "weights" && self.holds_only(name, "init.safetensors"))
                || (name == "checkpoints" && self.holds_only(name, ""));
            is_leftover(name) || (begun && (file || folder))
        };
        if names.iter().all(|name| fits(name)) {
            return Ok(());
        }
        let reason =
            format!("{} is not empty; name a new directory or --resume it", self.0.display());
        Err(Error::config("out", reason))
    }

    /// Whether a folder in the directory holds nothing but temporary files and the file `only`.
    fn holds_only(&self, folder: &OsStr, only: &str) -> bool {
        let Ok(entries) = std::fs::read_dir(self.0.join(folder)) else { return false };
        entries
            .flatten()
            .map(|entry| entry.file_name())
            .all(|name| name == only || is_leftover(&name))
    }

    /// Makes the folders inside, and removes temporary files of a killed process. The directory must be
    /// locked.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where they cannot be made; [`palinode::Error::Format`] where one is a symbolic
    /// link.
    pub(super) fn prepare(&self) -> Result<()> {
        let folders = ["weights", "checkpoints"].map(|name| self.0.join(name));
        folders.iter().try_for_each(|folder| refuse_link(folder))?;
        for directory in [&self.0].into_iter().chain(&folders) {
            std::fs::create_dir_all(directory).map_err(Error::io(directory))?;
            remove_leftovers(directory);
        }
        Ok(())
    }

    /// Opens the directory of an earlier run.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where it holds no run.
    pub fn open(path: &Path) -> Result<Self> {
        if path.join("config.toml").is_file() {
            return Ok(Self(path.to_owned()));
        }
        let reason = match path.join(LOCK_FILE).is_file() {
            true => "holds a run that was stopped before it began; begin it again with --out",
            false => "holds no run (no config.toml in it)",
        };
        Err(Error::config("resume", format!("{} {reason}", path.display())))
    }

    /// Locks the directory of an earlier run.
    pub(super) fn lock(&self) -> Result<(Lock, Option<String>)> {
        Lock::take(&self.0)
    }

    /// The run directory `path`, whether there is one or not.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the directory `parent/name`, or `parent/name-2`, `-3`, … where there is one already. No other
    /// process gets the same one.
    fn claim(parent: &Path, name: &str) -> Result<PathBuf> {
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        let mut path = parent.join(name);
        let mut number = 2;
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    path = parent.join(format!("{name}-{number}"));
                    number += 1;
                }
                Err(error) => return Err(Error::io(&path)(error)),
            }
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The resolved recipe.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The figures of every epoch.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.csv")
    }

    /// `init`, `best` or `last` weights.
    pub fn weights(&self, which: &str) -> PathBuf {
        self.0.join("weights").join(format!("{which}.safetensors"))
    }

    /// The state a run continues from.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoints").join("latest.safetensors")
    }

    /// The checkpoint before the latest one, for the case that that is damaged.
    pub fn previous_checkpoint(&self) -> PathBuf {
        self.0.join("checkpoints").join("previous.safetensors")
    }

    /// What becomes of a latest checkpoint that is damaged.
    pub(super) fn damaged_checkpoint(&self) -> PathBuf {
        self.0.join("checkpoints").join("damaged.safetensors")
    }

    /// The finished run's result.
    pub fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// Loss and accuracy as curves.
    pub fn curves(&self) -> PathBuf {
        self.0.join("curves.svg")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_that_never_started_left_behind_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(&folder.path().join("run"));
        run.check_free().unwrap();
        std::fs::create_dir_all(run.weights("init").parent().unwrap()).unwrap();
        std::fs::create_dir_all(run.checkpoint().parent().unwrap()).unwrap();
        std::fs::write(run.config(), "recipe_version = 1").unwrap();
        let message = run.check_free().unwrap_err().to_string();
        assert!(
            message.contains("not empty"),
            "a user's own config.toml is no leftover: {message}"
        );
        std::fs::write(run.path().join(LOCK_FILE), "").unwrap();
        std::fs::write(run.weights("init"), "half a file").unwrap();
        std::fs::write(run.path().join(".palinode-1-2.tmp"), "").unwrap();
        run.check_free().unwrap();
        let (_, lock, _) = RunDirectory::create(Place::At(run.path())).unwrap();
        assert!(!run.config().exists());
        let message = RunDirectory::create(Place::At(run.path())).unwrap_err().to_string();
        assert!(message.contains("in use by process"), "{message}");
        drop(lock);
        for started in
            [run.checkpoint(), run.previous_checkpoint(), run.weights("best"), run.metrics()]
        {
            std::fs::write(&started, "").unwrap();
            assert!(run.check_free().is_err(), "{started:?} is of a run that has started");
            std::fs::remove_file(started).unwrap();
        }
        run.check_free().unwrap();
    }

    #[test]
    fn claimed_directories_are_different_ones() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let mut paths: Vec<PathBuf> = std::thread::scope(|threads| {
            let claims: Vec<_> = (0..8)
                .map(|_| threads.spawn(|| RunDirectory::claim(&runs, "a").unwrap()))
                .collect();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect()
        });
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 8);
        assert!(paths.contains(&runs.join("a")) && paths.contains(&runs.join("a-8")));
    }
}
