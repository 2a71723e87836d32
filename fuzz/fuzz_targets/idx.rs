//! IDX files, plain and gzipped: images if the first byte is even, otherwise labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palinode_fuzz::{folder, read};
use palinode_train::data::{SourceName, Split};

const IMAGES: &str = "t10k-images-idx3-ubyte";
const LABELS: &str = "t10k-labels-idx1-ubyte";

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let (name, other, rest) = match first % 2 {
        0 => (IMAGES, LABELS, [&[0, 0, 8, 1, 0, 0, 0, 1][..], &[3]].concat()),
        _ => (LABELS, IMAGES, [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28][..], &[7; 784]].concat()),
    };
    std::fs::write(folder().join(other), rest).expect("the temporary folder can be written to");
    read(name, bytes, |path| {
        SourceName::FashionMnist.load(path.parent(), Split::Test).map_err(|error| error.to_string())
    });
});
