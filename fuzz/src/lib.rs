//! What all fuzz targets share: a file with the bytes, and what must be true of a reader's answer.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Writes `bytes` to the file `name` in a folder of this process, and has it read.
///
/// # Panics
/// Where the reader's error does not name the file: that is a fault too.
pub fn read<T>(name: &str, bytes: &[u8], reader: impl FnOnce(&Path) -> Result<T, String>) {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("the temporary folder can be written to");
    if let Err(message) = reader(&path) {
        assert!(message.contains(name), "the error does not name {name}: {message}");
    }
}

/// The folder of this process, in memory where the system has such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let memory = PathBuf::from("/dev/shm");
        match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        }
    };
    FOLDER.get_or_init(|| make().expect("a temporary folder can be made")).path()
}

/// Has a picture read as `predict` does. Panics of decoders become errors there: they must not end the process.
pub fn read_picture(name: &str, bytes: &[u8]) {
    let info = serde_json::from_str(
        r#"{"channels": 3, "size": [8, 8], "mean": [0, 0, 0], "std": [1, 1, 1], "classes": ["a"], "padding": 1}"#,
    );
    let info = info.expect("the description of the images is right");
    read(name, bytes, |path| {
        let found = palinode_train::data::load_pictures(&[path.to_owned()], &info, Some(1024));
        found.map_err(|error| error.to_string())
    });
}

/// Takes the panic hook of the fuzzer away, which ends the process before a panic can become an error. A panic that
/// reaches the fuzzer ends the process all the same.
pub fn let_panics_unwind() {
    std::panic::set_hook(Box::new(|_| ()));
}
