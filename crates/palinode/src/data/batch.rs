//! Batches of standardised images as tensors.

use super::{Augmentation, DataInfo, Dataset};
use crate::random::{Generator, Purpose};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;
use std::borrow::Borrow;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

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

/// One pass over a data set, borrowed or shared.
#[derive(Clone, Debug)]
pub struct Batches<D> {
    dataset: D,
    lookup: Vec<[f32; 256]>,
    augmentation: Augmentation,
    /// Seed and epoch of the augmentation.
    key: (u64, usize),
    order: Vec<usize>,
    size: usize,
    next: usize,
}

impl<D: Borrow<Dataset>> Batches<D> {
    /// All images in their order, unchanged.
    pub fn in_order(dataset: D, info: &DataInfo, size: usize) -> Self {
        let order = (0..dataset.borrow().len()).collect();
        Self {
            dataset,
            lookup: info.lookup(),
            augmentation: Augmentation::NONE,
            key: (0, 0),
            order,
            size: size.max(1),
            next: 0,
        }
    }

    /// The training images of epoch `epoch`: shuffled, if asked, and augmented, both by `seed`.
    pub fn for_training(
        dataset: D,
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
        let dataset = self.dataset.borrow();
        let length = dataset.image_len();
        let mut images = vec![0.0_f32; indices.len() * length];
        images.par_chunks_mut(length).zip(&indices).for_each(|(into, &index)| {
            self.augmentation.write(dataset, index, self.key, &self.lookup, into);
        });
        let labels: Vec<i64> =
            indices.iter().map(|&index| i64::from(dataset.labels[index])).collect();
        let [rows, columns] = dataset.size;
        let shape = [indices.len(), dataset.channels, rows, columns];
        Some(Batch {
            images: Tensor::from_data(TensorData::new(images, shape), device),
            labels: Tensor::from_data(TensorData::new(labels, [indices.len()]), device),
            indices,
        })
    }
}

impl<D: Borrow<Dataset> + Send + 'static> Batches<D> {
    /// The batches still to come, each prepared while the one before it is in use.
    pub fn ahead(mut self, device: &Device) -> Ahead {
        let (sender, receiver) = sync_channel(1);
        let device = device.clone();
        let worker = thread::spawn(move || {
            while let Some(batch) = self.next_on(&device) {
                // Nobody wants the rest once the receiver is gone.
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Ahead { receiver, worker: Some(worker) }
    }
}

/// See [`Batches::ahead`].
#[derive(Debug)]
pub struct Ahead {
    receiver: Receiver<Batch>,
    worker: Option<JoinHandle<()>>,
}

impl Iterator for Ahead {
    type Item = Batch;

    /// # Panics
    /// If the preparation of a batch panicked: the pass is not over then.
    fn next(&mut self) -> Option<Batch> {
        if let Ok(batch) = self.receiver.recv() {
            return Some(batch);
        }
        if let Some(Err(panic)) = self.worker.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}
