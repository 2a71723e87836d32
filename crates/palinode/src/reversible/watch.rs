//! What comes back in the backward pass, compared with what went in.

use crate::autodiff::{on_kernels, view};
use crate::device::read;
use crate::error::Result;
use crate::scheme::Grid;
use burn::tensor::{Tensor, TensorData};
use palinode_kernels::projection::{Change, Projection, projections, relative, sign};
use palinode_kernels::{Context, Share};
use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A record of how far the states that the reversible mode reconstructs are from those of the forward pass.
///
/// Of every unit's first state, a random projection, the norm and a checksum of each image are kept: 48 bytes an image. After the
/// backward pass they are compared with those of the state that came back. The *drift* of the unit is the norm of the
/// difference relative to the norm of the state, as estimated from the projections; it is zero where all bits are the
/// same.
///
/// Clones share the record. On devices other than the CPU, and where several ranks share a batch, some numbers for each
/// backward pass of a unit stay there until they are [read](Self::read): read them every few steps.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// The largest drift of each unit that has not been read yet.
    on_host: BTreeMap<usize, f64>,
    /// Where several ranks share a batch, the changes of the images of this one, with their units.
    shared: Vec<(usize, Change, Share)>,
    /// ‖x − x′‖² and ‖x‖² of drifts that are still on a device, with their units.
    on_device: Vec<(usize, Tensor<1>)>,
    /// Signs for the images of one shape on one device, `[1, c, h, w]`.
    signs: Vec<Tensor<4>>,
}

/// What is kept of a state.
pub(super) enum Fingerprint {
    /// Of both tensors of every image.
    OnHost(Vec<[Projection; 2]>),
    /// ⟨s, x⟩ of every image of every tensor, and ‖x‖² of all.
    OnDevice(Box<[Tensor<1>; 2]>),
}

impl Watch {
    /// An empty record.
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest drift of each of the first `units` units since the last call, 0 where none was found; infinite if a
    /// number was not finite. Where several ranks share a batch, all of them call this together.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    pub fn read(&self, units: usize) -> Result<Vec<f64>> {
        let (on_host, shared, on_device) = {
            let record = &mut *self.record();
            let Record { on_host, shared, on_device, .. } = record;
            (take(on_host), take(shared), take(on_device))
        };
        let mut largest = vec![0.0_f64; units];
        let mut add = |unit: usize, drift: f64| {
            if let Some(largest) = largest.get_mut(unit) {
                *largest = largest.max(drift);
            }
        };
        on_host.into_iter().for_each(|(unit, drift)| add(unit, drift));
        for (unit, change) in over_ranks(&shared) {
            add(unit, change.drift());
        }
        if !on_device.is_empty() {
            let (of, numbers): (Vec<usize>, Vec<Tensor<1>>) = on_device.into_iter().unzip();
            let numbers = read(Tensor::cat(numbers, 0))?;
            for (unit, pair) in of.into_iter().zip(numbers.chunks_exact(2)) {
                add(unit, relative(pair[0], pair[1]));
            }
        }
        Ok(largest)
    }

    /// What is kept of a state in one or two tensors (two on the CPU), which is rounded to `grid` before if there is one.
    pub(super) fn fingerprint(
        &self,
        context: &Context,
        parts: &[Tensor<4>],
        grid: Option<Grid>,
    ) -> Fingerprint {
        if let [first, second] = parts
            && on_kernels(first)
            && on_kernels(second)
        {
            let of = |part: &Tensor<4>| {
                let [images, numbers] = [part.dims()[0], part.dims().iter().product()];
                let found =
                    projections(context, &view(part.clone()), numbers / images.max(1), grid);
                found.expect("a tensor holds whole images")
            };
            let pairs = of(first).into_iter().zip(of(second));
            return Fingerprint::OnHost(pairs.map(|(first, second)| [first, second]).collect());
        }
        let (mut found, mut squares) = (Vec::new(), Vec::new());
        for part in parts {
            let part = crate::scheme::rounded(part.clone(), grid);
            let images = part.dims()[0];
            let sums = (part.clone() * self.signs(&part)).reshape([images as i32, -1]).sum_dim(1);
            found.push(sums.reshape([images]));
            squares.push(part.powi_scalar(2).sum());
        }
        Fingerprint::OnDevice(Box::new([Tensor::cat(found, 0), Tensor::cat(squares, 0).sum()]))
    }

    /// Records the drift of unit `unit`.
    pub(super) fn compare(
        &self,
        context: &Context,
        unit: usize,
        before: Fingerprint,
        after: Fingerprint,
    ) {
        let unknown = Change { change: f64::INFINITY, ..Change::default() };
        let change = match (before, after) {
            (Fingerprint::OnHost(before), Fingerprint::OnHost(after)) => {
                Change::of(context, &before, &after).unwrap_or(unknown)
            }
            (Fingerprint::OnDevice(before), Fingerprint::OnDevice(after)) => {
                let ([before, square], [after, _]) = (*before, *after);
                let change = (before - after).powi_scalar(2).sum();
                let numbers = Tensor::cat(vec![change, square], 0);
                self.record().on_device.push((unit, numbers));
                return;
            }
            // A state does not change its device or type.
            _ => unknown,
        };
        let mut record = self.record();
        if let Some(share) = context.share() {
            record.shared.push((unit, change, share.clone()));
            return;
        }
        let largest = record.on_host.entry(unit).or_default();
        *largest = largest.max(change.drift());
    }

    /// Random signs for images like those of x.
    fn signs(&self, x: &Tensor<4>) -> Tensor<4> {
        let [_, channels, height, width] = x.dims();
        let shape = [1, channels, height, width];
        let mut record = self.record();
        let fits = |own: &&Tensor<4>| {
            (own.dims(), own.dtype(), own.device()) == (shape, x.dtype(), x.device())
        };
        if let Some(signs) = record.signs.iter().find(fits) {
            return signs.clone();
        }
        let values: Vec<f32> = (0..channels * height * width).map(sign).collect();
        let signs: Tensor<4> = Tensor::from_data(TensorData::new(values, shape), &x.device());
        let signs = signs.cast(x.dtype());
        record.signs.push(signs.clone());
        signs
    }

    /// The record. (A panic elsewhere leaves it whole.)
    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes of units over whole batches: those of all ranks are added.
fn over_ranks(found: &[(usize, Change, Share)]) -> Vec<(usize, Change)> {
    let Some((.., share)) = found.first() else { return Vec::new() };
    let numbers = |(_, own, _): &(usize, Change, Share)| [own.change, own.square, own.images];
    let mut sums = found.iter().flat_map(numbers).collect::<Vec<_>>();
    share.ranks().add(&mut sums);
    let units = found.iter().map(|(unit, ..)| *unit);
    let whole = |sum: &[f64; 3]| Change { change: sum[0], square: sum[1], images: sum[2] };
    units.zip(sums.as_chunks().0.iter().map(whole)).collect()
}
