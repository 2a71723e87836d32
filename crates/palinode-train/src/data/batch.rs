//! Batches of standardised images as tensors.

use super::augment::Augmentation;
use super::dataset::Dataset;
use burn::tensor::{Device, Int, Tensor, TensorData};
use palinode::network::DataInfo;
use palinode::random::{Generator, Purpose};
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

/// Which epoch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Seed of the run.
    pub seed: u64,
    /// From 0.
    pub number: usize,
    /// Images in it: as many as the data set has, or more where that is a subset, which is then gone
    /// through several times.
    pub images: usize,
}

/// Images of a data set in some order, borrowed or shared.
#[derive(Clone, Debug)]
pub struct Batches<D> {
    dataset: D,
    lookup: Vec<[f32; 256]>,
    /// Taken from every image after that.
    shift: Option<Vec<f32>>,
    augmentation: Augmentation,
    /// Seed of the augmentation.
    seed: u64,
    /// Number of the first pass over the data set, for the augmentation.
    first_pass: usize,
    /// One pass over the data set after the other.
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
            shift: info.shift(),
            augmentation: Augmentation::NONE,
            seed: 0,
            first_pass: 0,
            order,
            size: size.max(1),
            next: 0,
        }
    }

    /// An epoch of training images: shuffled, if asked, and augmented, both by `seed`.
    pub fn for_training(
        dataset: D,
        info: &DataInfo,
        size: usize,
        augmentation: Augmentation,
        shuffle: bool,
        epoch: Epoch,
    ) -> Self {
        let mut batches = Self::in_order(dataset, info, size);
        let images = batches.order.len().max(1);
        let passes = epoch.images.div_ceil(images);
        let first_pass = epoch.number * passes;
        batches.order = (first_pass..first_pass + passes)
            .flat_map(|pass| {
                let mut order: Vec<usize> = (0..batches.dataset.borrow().len()).collect();
                if shuffle {
                    Generator::with_stream(epoch.seed, Purpose::Shuffle, pass as u64)
                        .shuffle(&mut order);
                }
                order
            })
            .take(epoch.images)
            .collect();
        Self { augmentation, seed: epoch.seed, first_pass, ..batches }
    }

    /// Batches in the whole of it; the last one may be smaller.
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
        let first = self.next;
        let indices = self.order[first..end].to_vec();
        self.next = end;
        if indices.is_empty() {
            return None;
        }
        let dataset = self.dataset.borrow();
        let length = dataset.image_len();
        let mut images = vec![0.0_f32; indices.len() * length];
        images.par_chunks_mut(length).zip(&indices).enumerate().for_each(
            |(place, (into, &index))| {
                let pass = self.first_pass + (first + place) / dataset.len().max(1);
                self.augmentation.write(dataset, index, (self.seed, pass), &self.lookup, into);
                if let Some(shift) = &self.shift {
                    into.iter_mut().zip(shift).for_each(|(pixel, shift)| *pixel -= shift);
                }
                self.augmentation.cut_out(dataset.size, index, (self.seed, pass), into);
            },
        );
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
