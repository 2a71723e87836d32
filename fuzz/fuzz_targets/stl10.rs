//! The binary files of STL-10: images, labels or folds, by the first byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::{folder, read};
use palinode_train::data::{SourceName, Split};

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let load = |path: &std::path::Path| {
        SourceName::Stl10.load(path.parent(), Split::Test).map_err(|error| error.to_string())
    };
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder().join(name), content).expect("the temporary folder can be written to");
    };
    match first % 3 {
        0 => {
            write("test_y.bin", &[4]);
            read("test_X.bin", bytes, load);
        }
        1 => {
            write("test_X.bin", &[9; 3 * 96 * 96]);
            read("test_y.bin", bytes, load);
        }
        _ => read("fold_indices.txt", bytes, |path| {
            SourceName::Stl10.fold(path.parent(), 1, 50).map_err(|error| error.to_string())
        }),
    }
});
