//! Batches of standardised images as tensors.

use super::{Augmentation, DataInfo, Dataset};
use crate::random::{Generator, Purpose};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

/// A batch on a device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[n, channels, rows, columns]`, standardised.
    pub images: Tensor<4>,
    /// `[n]`.
    pub labels: Tensor<1, Int>,
    /// The images' places in the data set.
    pub indices: Vec<usize>,
}

/// One pass over a data set.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    dataset: &'a Dataset,
    lookup: Vec<[f32; 256]>,
    augmentation: Augmentation,
    /// Seed and epoch of the augmentation.
    key: (u64, usize),
    order: Vec<usize>,
    size: usize,
    next: usize,
}

impl<'a> Batches<'a> {
    /// All images in their order, unchanged.
    pub fn in_order(dataset: &'a Dataset, info: &DataInfo, size: usize) -> Self {
        Self {
            dataset,
            lookup: info.lookup(),
            augmentation: Augmentation::NONE,
            key: (0, 0),
            order: (0..dataset.len()).collect(),
            size: size.max(1),
            next: 0,
        }
    }

    /// The training images of epoch `epoch`: shuffled, if asked, and augmented, both by `seed`.
    pub fn for_training(
        dataset: &'a Dataset,
        info: &DataInfo,
        size: usize,
        augmentation: Augmentation,
        shuffle: bool,
        (seed, epoch): (u64, usize),
    ) -> Self {
        let mut batches = Self::in_order(dataset, info, size);
        if shuffle {
            Generator::with_stream(seed, Purpose::Shuffle, epoch as u64)
                .shuffle(&mut batches.order);
        }
        Self { augmentation, key: (seed, epoch), ..batches }
    }

    /// Batches in the whole pass; the last one may be smaller.
    pub fn count(&self) -> usize {
        self.order.len().div_ceil(self.size)
    }

    /// Leaves out the first `steps` batches of those still to come.
    pub fn skip_steps(&mut self, steps: usize) {
        self.next = self.next.saturating_add(steps.saturating_mul(self.size));
        self.next = self.next.min(self.order.len());
    }

    /// The next batch, on `device`.
    pub fn next_on(&mut self, device: &Device) -> Option<Batch> {
        let end = self.next.saturating_add(self.size).min(self.order.len());
        let indices = self.order[self.next..end].to_vec();
        self.next = end;
        if indices.is_empty() {
            return None;
        }
        let length = self.dataset.image_len();
        let mut images = vec![0.0_f32; indices.len() * length];
        images.par_chunks_mut(length).zip(&indices).for_each(|(into, &index)| {
            self.augmentation.write(self.dataset, index, self.key, &self.lookup, into);
        });
        let labels: Vec<i64> =
            indices.iter().map(|&index| i64::from(self.dataset.labels[index])).collect();
        let [rows, columns] = self.dataset.size;
        let shape = [indices.len(), self.dataset.channels, rows, columns];
        Some(Batch {
            images: Tensor::from_data(TensorData::new(images, shape), device),
            labels: Tensor::from_data(TensorData::new(labels, [indices.len()]), device),
            indices,
        })
    }
}
