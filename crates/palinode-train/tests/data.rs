//! The embedded images, and batches of them.
#![allow(clippy::unwrap_used)]

mod support;

use burn::tensor::Device;
use palinode_train::data::{
    Batches, Epoch, ImageSource, Mean, SourceName, Split, class_counts, describe, image_len,
};
use std::collections::HashSet;
use std::sync::Arc;

#[test]
fn the_embedded_images_are_balanced_and_disjoint() {
    let train = SourceName::FashionMnistMini.load(None, Split::Train).unwrap();
    let test = SourceName::FashionMnistMini.load(None, Split::Test).unwrap();
    let found = (train.len(), test.len(), train.size(), train.padding());
    assert_eq!(found, (6000, 1000, [32, 32], 2));
    assert!(class_counts(&train).iter().all(|&count| count == 600));
    assert!(class_counts(&test).iter().all(|&count| count == 100));
    let image = |source: &Arc<dyn ImageSource>, index| {
        let mut image = vec![0; image_len(source)];
        source.read(index, &mut image).unwrap();
        image
    };
    let seen: HashSet<Vec<u8>> = (0..6000).map(|index| image(&train, index)).collect();
    assert!(
        (0..1000).all(|index| !seen.contains(&image(&test, index))),
        "a test image was trained on"
    );
}

#[test]
fn batches_do_not_depend_on_how_they_are_cut() {
    let all = SourceName::FashionMnistMini.load(None, Split::Test).unwrap();
    let info = describe(&all, Mean::Channel).unwrap();
    let device = Device::flex();
    let collect_of = |images: usize, size: usize, skip: usize| {
        let augmentation = Default::default();
        let epoch = Epoch { seed: 5, number: 2, images };
        let mut batches = Batches::for_training(&all, &info, size, augmentation, true, epoch);
        batches.skip_batches(skip);
        let (mut pixels, mut indices) = (Vec::new(), Vec::new());
        while let Some(batch) = batches.next_on(&device).unwrap() {
            pixels.extend(support::values(batch.images));
            indices.extend(batch.indices);
        }
        (pixels, indices)
    };
    let collect = |size, skip| collect_of(1000, size, skip);
    let (pixels, indices) = collect(64, 0);
    assert_eq!((&pixels, &indices), (&collect(17, 0).0, &collect(17, 0).1));
    let (rest, rest_indices) = collect(64, 3);
    assert_eq!(rest_indices, indices[3 * 64..]);
    assert_eq!(rest, pixels[3 * 64 * 32 * 32..]);
    let mut sorted = indices.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    // An epoch of more images than there are is several passes, each complete but for the last.
    let (more, several) = collect_of(2500, 64, 0);
    assert_eq!(several.len(), 2500);
    for pass in several[..2000].chunks(1000) {
        let mut sorted = pass.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }
    let place = |pass: usize, image: usize| {
        1000 * pass + several[1000 * pass..].iter().position(|&index| index == image).unwrap()
    };
    let area = 32 * 32;
    let varied = (0..1000).filter(|&image| {
        let [a, b] = [0, 1].map(|pass| &more[place(pass, image) * area..][..area]);
        a != b
    });
    assert!(varied.count() > 800, "passes repeat each other's augmentation");
    let (rest, _) = collect_of(2500, 64, 20);
    assert_eq!(rest, more[20 * 64 * area..]);
}
