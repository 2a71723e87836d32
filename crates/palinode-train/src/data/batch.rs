//! Batches of standardised images as tensors.

use super::augment::Augmentation;
use super::decoders::decoders;
use super::image_source::{ImageSource, image_len};
use crate::error::{Error, Result};
use burn::tensor::{Device, Int, Tensor, TensorData};
use palinode::device::is_cpu;
use palinode::network::DataInfo;
use palinode::random::{Generator, Purpose};
use palinode::{Context, Microbatches};
use rayon::prelude::*;
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
    /// Images of the whole batch. Where several ranks share it, these are only some of them.
    pub whole: usize,
}

impl Batch {
    /// Whether other ranks have other images of it.
    pub(crate) fn is_shared(&self) -> bool {
        self.indices.len() < self.whole
    }

    /// Its first `count` images, or all if it has fewer.
    pub(crate) fn first(self, count: usize) -> Self {
        let count = count.min(self.indices.len());
        Self {
            whole: count,
            images: self.images.narrow(0, 0, count),
            labels: self.labels.narrow(0, 0, count),
            indices: self.indices[..count].to_vec(),
        }
    }
}

/// The numbers of a batch.
struct Prepared {
    images: TensorData,
    labels: TensorData,
    indices: Vec<usize>,
    whole: usize,
}

impl Prepared {
    fn on(self, device: &Device) -> Batch {
        let Self { images, labels, indices, whole } = self;
        let (images, labels) =
            (Tensor::from_data(images, device), Tensor::from_data(labels, device));
        Batch { images, labels, indices, whole }
    }
}

/// Which epoch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Seed of the run.
    pub seed: u64,
    /// From 0.
    pub number: usize,
    /// Images in the epoch. Where this is more than the data set holds, as for a subset, the data set
    /// is passed through several times.
    pub images: usize,
}

/// Batches of a data set's images in some order.
///
/// The source may be borrowed or shared: `&Dataset`, `Arc<dyn ImageSource>`.
#[derive(Clone, Debug)]
pub struct Batches<S> {
    source: S,
    lookup: Vec<[f32; 256]>,
    /// Subtracted from every image after the lookup.
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
    /// Which rank of how many this is.
    rank: (usize, Microbatches),
}

impl<S: ImageSource> Batches<S> {
    /// All images in their order, unchanged.
    pub fn in_order(source: S, info: &DataInfo, size: usize) -> Self {
        let order = (0..source.len()).collect();
        Self {
            source,
            lookup: info.lookup(),
            shift: info.shift(),
            augmentation: Augmentation::NONE,
            seed: 0,
            first_pass: 0,
            order,
            size: size.max(1),
            next: 0,
            rank: (0, Microbatches::ONE),
        }
    }

    /// The same batches, of which this is the share of rank `rank` of so many. No other image is read. A batch with fewer
    /// images than there are ranks is not shared: every rank has all of it.
    pub fn for_rank(self, rank: usize, ranks: Microbatches) -> Self {
        Self { rank: (rank, ranks), ..self }
    }

    /// An epoch of training images: augmented and, if `shuffle` says so, shuffled, both by the seed.
    pub fn for_training(
        source: S,
        info: &DataInfo,
        size: usize,
        augmentation: Augmentation,
        shuffle: bool,
        epoch: Epoch,
    ) -> Self {
        let mut batches = Self::in_order(source, info, size);
        let images = batches.order.len();
        let passes = epoch.images.div_ceil(images.max(1));
        let first_pass = epoch.number * passes;
        batches.order = (first_pass..first_pass + passes)
            .flat_map(|pass| {
                let mut order: Vec<usize> = (0..images).collect();
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

    /// Number of batches, those already taken included; the last one may be smaller.
    pub fn count(&self) -> usize {
        self.order.len().div_ceil(self.size)
    }

    /// Skips the next `batches` batches.
    pub fn skip_batches(&mut self, batches: usize) {
        self.next = self.next.saturating_add(batches.saturating_mul(self.size));
        self.next = self.next.min(self.order.len());
    }

    /// The next batch, on `device`; `None` after the last.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where the source does not hold images like those of the description, and what
    /// keeps an image from being read.
    pub fn next_on(&mut self, device: &Device) -> Result<Option<Batch>> {
        Ok(self.prepare(true)?.map(|prepared| prepared.on(device)))
    }

    /// The numbers of the next batch, by the threads of the caller's pool if `parallel` says so.
    fn prepare(&mut self, parallel: bool) -> Result<Option<Prepared>> {
        let end = self.next.saturating_add(self.size).min(self.order.len());
        let whole = end - self.next;
        let own = match self.rank {
            (rank, ranks) if ranks.count() <= whole => ranks.range(whole, rank),
            _ => 0..whole,
        };
        let first = self.next + own.start;
        let indices = self.order[first..self.next + own.end].to_vec();
        self.next = end;
        if indices.is_empty() {
            return Ok(None);
        }
        let (source, length) = (&self.source, self.checked_image_len()?);
        let size @ [rows, columns] = source.size();
        let mut images = vec![0.0_f32; indices.len() * length];
        let write = |bytes: &mut Vec<u8>,
                     (place, (into, &index)): (usize, (&mut [f32], &usize))| {
            source.read(index, bytes)?;
            let pass = self.first_pass + (first + place) / source.len().max(1);
            let at = (self.seed, pass);
            self.augmentation.write(bytes, size, index, at, &self.lookup, into);
            if let Some(shift) = &self.shift {
                into.iter_mut().zip(shift).for_each(|(pixel, shift)| *pixel -= shift);
            }
            self.augmentation.cut_out(size, index, at, into);
            Ok::<(), Error>(())
        };
        let bytes = || vec![0; length];
        if parallel {
            let images = images.par_chunks_mut(length).zip(&indices).enumerate();
            images.try_for_each_init(bytes, write)?;
        } else {
            let (mut images, mut bytes) =
                (images.chunks_mut(length).zip(&indices).enumerate(), bytes());
            images.try_for_each(|image| write(&mut bytes, image))?;
        }
        let labels: Vec<i64> = indices.iter().map(|&index| source.label(index) as i64).collect();
        let shape = [indices.len(), source.channels(), rows, columns];
        let (images, labels) =
            (TensorData::new(images, shape), TensorData::new(labels, [indices.len()]));
        Ok(Some(Prepared { images, labels, indices, whole }))
    }

    /// Bytes of one image, if the source fits the description.
    fn checked_image_len(&self) -> Result<usize> {
        let length = image_len(&self.source);
        let shifted = self.shift.as_ref().is_none_or(|shift| shift.len() == length);
        if length == 0 || self.source.channels() != self.lookup.len() || !shifted {
            let reason = format!(
                "images have {} channels of {:?} pixels, which is not what the network's description of \
                 its images says",
                self.source.channels(),
                self.source.size()
            );
            return Err(Error::config("data", reason));
        }
        Ok(length)
    }
}

impl<S: ImageSource + 'static> Batches<S> {
    /// The remaining batches on `device`, each prepared and uploaded by another thread while the one before it is
    /// in use.
    ///
    /// Images in memory are prepared by this thread alone on the CPU, beside the threads that compute; on other devices the
    /// threads of `context`, which have nothing else to do but for the one that calls this, share the images of a batch. Images
    /// that are [read from files](ImageSource::listing) are decoded by as many threads as compute, on any device.
    ///
    /// # Errors
    /// [`palinode::Error::Io`] where the system gives no threads.
    pub fn ahead(mut self, device: &Device, context: &Context) -> Result<Ahead> {
        let (sender, receiver) = sync_channel(1);
        let decoders = self.source.listing().map(|_| decoders(context.threads())).transpose()?;
        let helpers = (!is_cpu(device) && context.threads() > 1).then(|| context.clone());
        let device = device.clone();
        let worker = thread::spawn(move || {
            loop {
                // The upload is always by this thread: CubeCL keeps memory for each thread that uploads.
                let prepared = match (&decoders, &helpers) {
                    (Some(decoders), _) => decoders.install(|| self.prepare(true)),
                    (None, Some(context)) => context.install(|| self.prepare(true)),
                    (None, None) => self.prepare(false),
                };
                let batch = prepared.map(|own| own.map(|own| own.on(&device))).transpose();
                let last = !matches!(batch, Some(Ok(_)));
                // The receiver is gone where the remaining batches are no longer wanted.
                let sent = batch.is_none_or(|batch| sender.send(batch).is_ok());
                if last || !sent {
                    return;
                }
            }
        });
        Ok(Ahead { receiver, worker: Some(worker) })
    }
}

/// See [`Batches::ahead`].
#[derive(Debug)]
pub struct Ahead {
    receiver: Receiver<Result<Batch>>,
    worker: Option<JoinHandle<()>>,
}

impl Iterator for Ahead {
    type Item = Result<Batch>;

    /// # Panics
    /// If the preparation of a batch panicked.
    fn next(&mut self) -> Option<Result<Batch>> {
        if let Ok(batch) = self.receiver.recv() {
            return Some(batch);
        }
        if let Some(Err(panic)) = self.worker.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}
