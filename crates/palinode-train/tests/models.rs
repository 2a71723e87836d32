//! The weights in `models/` are those of their cards.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use palinode::network::{WeightFile, count};
use palinode::reversible::Differentiation;
use palinode_train::data::{ImageSource, Selection, SourceName, Split};
use palinode_train::train::evaluate;
use std::path::Path;

/// (On training images: the test part is read for the card alone.)
#[test]
fn the_best_network_knows_its_training_images() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let file = WeightFile::load(&models.join("hamiltonian-74-fashion-mnist.safetensors")).unwrap();
    let network = file.network(Differentiation::Reversible, &Device::flex()).unwrap();
    assert_eq!(count(&network).total, 482_986);
    let images = SourceName::FashionMnistMini.load(None, Split::Train).unwrap();
    let some: Vec<usize> = (0..images.len()).step_by(10).collect();
    let some = Selection::new(images, some).unwrap();
    let found = evaluate(&network, &some, &file.data, 100).unwrap();
    assert!(found.accuracy > 0.95, "{:.2} %", 100.0 * found.accuracy);
}
