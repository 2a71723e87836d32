//! The weight files that are analysed.

use clap::Args;
use std::path::{Path, PathBuf};

/// One weight file, and others to compare it with.
#[derive(Debug, Args)]
pub struct Networks {
    /// Weight file.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Weight files to compare with.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    compare: Vec<PathBuf>,
}

impl Networks {
    /// The names and paths of all files.
    pub fn named(&self) -> Vec<(String, &Path)> {
        let paths = std::iter::once(&self.weights).chain(&self.compare);
        let paths: Vec<&Path> = paths.map(PathBuf::as_path).collect();
        let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
        let unique = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
        let named = names.iter().zip(&paths).map(|(name, path)| match unique(name) {
            true => (name.clone(), *path),
            false => (path.display().to_string(), *path),
        });
        named.collect()
    }
}

/// The file's name; with the name of the run, where it lies in a run's directory.
fn name(path: &Path) -> String {
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let stem = path.file_stem().map_or_else(|| path.display().to_string(), text);
    let folder = path.parent().filter(|parent| parent.file_name().is_some_and(|n| n == "weights"));
    match folder.and_then(|folder| folder.parent()?.file_name()) {
        Some(run) => format!("{} {stem}", text(run)),
        None => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::name;
    use std::path::Path;

    #[test]
    fn files_of_a_run_are_named_after_it() {
        assert_eq!(name(Path::new("runs/a-seed0/weights/best.safetensors")), "a-seed0 best");
        assert_eq!(name(Path::new("models/network.safetensors")), "network");
        assert_eq!(name(Path::new("weights/best.safetensors")), "best");
    }
}
