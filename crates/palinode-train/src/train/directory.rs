//! The run directory: which files a run writes.

use crate::error::{Error, Result};
use palinode::file::remove_leftovers;
use std::path::{Path, PathBuf};

/// Paths of one run.
///
/// `config.toml` (the recipe, resolved), `metrics.csv`, `weights/{init,best,last}.safetensors`,
/// `checkpoints/latest.safetensors`, `result.json`, `curves.svg`,
/// `events.out.tfevents.palinode`, `report.html`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// Makes a new run directory.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where the directory holds something already, [`palinode::Error::Io`] where it cannot
    /// be made.
    pub fn create(path: &Path) -> Result<Self> {
        let occupied = match std::fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => false,
        };
        if occupied {
            return Err(Error::config(
                "out",
                format!("{} is not empty; name a new directory or --resume it", path.display()),
            ));
        }
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        Ok(Self(path.to_owned()))
    }

    /// Makes the folders inside, and removes temporary files of a killed process.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where they cannot be made.
    pub(super) fn prepare(&self) -> Result<()> {
        for directory in [self.0.clone(), self.0.join("weights"), self.0.join("checkpoints")] {
            std::fs::create_dir_all(&directory).map_err(Error::io(&directory))?;
            remove_leftovers(&directory);
        }
        Ok(())
    }

    /// Opens the directory of an earlier run.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where it holds no run.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join("config.toml").is_file() {
            return Err(Error::config(
                "resume",
                format!("{} holds no run (no config.toml in it)", path.display()),
            ));
        }
        Ok(Self(path.to_owned()))
    }

    /// The run directory `path`, whether there is one or not.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A directory `parent/name`, or `parent/name-2`, `-3`, … that does not exist yet.
    pub fn unused(parent: &Path, name: &str) -> PathBuf {
        let mut path = parent.join(name);
        let mut number = 2;
        while path.exists() {
            path = parent.join(format!("{name}-{number}"));
            number += 1;
        }
        path
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

    /// When the run began, in seconds of Unix time; 0 where the file system does not know.
    pub(super) fn began(&self) -> f64 {
        let written = std::fs::metadata(self.config()).and_then(|file| file.modified());
        let since = written.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(0.0, |since| since.as_secs_f64())
    }

    /// `init`, `best` or `last` weights.
    pub fn weights(&self, which: &str) -> PathBuf {
        self.0.join("weights").join(format!("{which}.safetensors"))
    }

    /// The state a run continues from.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoints").join("latest.safetensors")
    }

    /// The finished run's result.
    pub fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// Loss and accuracy as curves.
    pub fn curves(&self) -> PathBuf {
        self.0.join("curves.svg")
    }

    /// The same curves for TensorBoard, which recognises event files by this name.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.out.tfevents.palinode")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }
}
