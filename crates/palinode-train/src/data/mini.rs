//! The embedded default: a small, class-balanced subset of Fashion-MNIST that needs no download.
//!
//! 600 training and 100 test images per class, drawn from its training and test split by
//! `data/fashion-mnist-mini/make.py`; provenance and licence stand beside it.

use super::dataset::{Dataset, Split};
use super::fashion_mnist;
use crate::error::Result;
use std::path::Path;

macro_rules! embedded {
    ($name:literal) => {{
        let name = concat!("data/fashion-mnist-mini/", $name);
        let bytes: &[u8] = include_bytes!(concat!("../../data/fashion-mnist-mini/", $name));
        (bytes, Path::new(name))
    }};
}

pub(super) fn load(split: Split) -> Result<Dataset> {
    let (images, labels) = match split {
        Split::Train => {
            (embedded!("train-images-idx3-ubyte.gz"), embedded!("train-labels-idx1-ubyte.gz"))
        }
        Split::Test => {
            (embedded!("t10k-images-idx3-ubyte.gz"), embedded!("t10k-labels-idx1-ubyte.gz"))
        }
    };
    fashion_mnist::assemble(images, labels)
}
