//! Loss, accuracy and norm of the gradient of each step, kept on the device until they are read together.
//!
//! A read waits for everything that the device still has to do. On the CPU there is nothing to wait for, so
//! every step is read. On other devices several steps are read at once, and always before the position of
//! the run is saved.

use super::position::Position;
use crate::error::Result;
use burn::tensor::{Device, Int, Tensor};
use palinode::Context;
use palinode::device::{is_cpu, read};

/// Steps between two reads on a device that is not the CPU.
const STEPS: usize = 20;

/// Steps between two reads on `device`.
pub(super) fn steps_between(device: &Device) -> usize {
    if is_cpu(device) { 1 } else { STEPS }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Readings {
    every: usize,
    /// Optimiser steps since the last read.
    steps: usize,
    /// What there is to read, in the order of the steps.
    kept: Vec<Kept>,
}

/// Numbers on the device, and what they are.
#[derive(Debug)]
struct Kept {
    what: What,
    /// The optimiser step of the epoch, from 0.
    step: usize,
    numbers: Tensor<1>,
}

#[derive(Clone, Debug)]
enum What {
    /// The loss of every image here, and for each whether it was classified correctly. The context says what else belongs
    /// to the batch.
    Batch(Box<Context>),
    /// The norm of the gradient of a step.
    Norm,
}

/// A number that is not finite: what it is, and the step of the epoch, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotFinite {
    pub what: &'static str,
    pub step: usize,
}

impl Readings {
    /// Readings of steps on `device`.
    pub fn on(device: &Device) -> Self {
        Self { every: steps_between(device), steps: 0, kept: Vec::new() }
    }

    /// Keeps the losses `[n]` of a batch, or of the share of it that `context` says, and compares the logits
    /// `[n, classes]` with the labels `[n]`. Of several largest logits, the first counts.
    pub fn add_batch(
        &mut self,
        step: usize,
        context: &Context,
        losses: &Tensor<1>,
        (logits, labels): (Tensor<2>, Tensor<1, Int>),
    ) {
        let images = logits.dims()[0];
        let found: Tensor<1, Int> = logits.inner().argmax(1).reshape([images]);
        let losses = losses.clone().inner();
        let correct = found.equal(labels).float().cast(losses.dtype());
        let numbers = Tensor::cat(vec![losses, correct], 0);
        self.kept.push(Kept { what: What::Batch(Box::new(context.clone())), step, numbers });
    }

    /// Keeps the norm of the gradient of a step, `[1]`, if there is one.
    pub fn add_norm(&mut self, step: usize, norm: Option<Tensor<1>>) {
        let norm = norm.map(|numbers| Kept { what: What::Norm, step, numbers });
        self.kept.extend(norm);
    }

    /// Counts an optimiser step. Whether it is time to read.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps >= self.every
    }

    /// Reads everything and adds it to `position`.
    ///
    /// Returns the first number that is not finite, if there is one; it has not been added.
    ///
    /// # Errors
    /// [`palinode::Error::Device`] if the device could not compute them.
    pub fn read(&mut self, position: &mut Position) -> Result<Option<NotFinite>> {
        self.steps = 0;
        let kept = std::mem::take(&mut self.kept);
        if kept.is_empty() {
            return Ok(None);
        }
        let numbers = Tensor::cat(kept.iter().map(|kept| kept.numbers.clone()).collect(), 0);
        let numbers = read(numbers)?;
        let mut rest = &numbers[..];
        for Kept { what, step, numbers } in kept {
            let (own, others) = rest.split_at(numbers.dims()[0]);
            rest = others;
            match what {
                What::Batch(context) => {
                    let (losses, correct) = own.split_at(own.len() / 2);
                    let mut sums = context
                        .sum_over_images(losses.len(), |image| [losses[image], correct[image]]);
                    context.add_ranks(&mut sums);
                    let [loss, correct] = sums;
                    if !loss.is_finite() {
                        return Ok(Some(NotFinite { what: "the loss", step }));
                    }
                    position.loss_sum += loss;
                    position.correct += correct as usize;
                    position.seen += context.batch_images(losses.len());
                }
                What::Norm if !own.iter().all(|norm| norm.is_finite()) => {
                    return Ok(Some(NotFinite { what: "the norm of the gradient", step }));
                }
                What::Norm => (),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_added_in_their_order_and_the_first_bad_number_is_named() {
        let device = Device::flex();
        let mut readings = Readings::on(&device);
        assert_eq!(readings.every, 1);
        let batch = |readings: &mut Readings, step, loss: f32| {
            let logits = Tensor::from_floats([[1.0, 1.0], [0.0, 2.0], [3.0, 0.0]], &device);
            let labels = Tensor::from_ints([0, 1, 1], &device);
            let losses = Tensor::from_floats([0.5, loss, loss], &device);
            readings.add_batch(step, &Context::new(), &losses, (logits, labels));
        };
        let mut position = Position::default();
        batch(&mut readings, 0, 0.5);
        readings.add_norm(0, None);
        batch(&mut readings, 1, 1.5);
        readings.add_norm(1, Some(Tensor::from_floats([7.0], &device)));
        assert_eq!(readings.read(&mut position).unwrap(), None);
        assert_eq!((position.loss_sum, position.correct, position.seen), (5.0, 4, 6));
        assert_eq!(readings.read(&mut position).unwrap(), None);
        assert_eq!(position.seen, 6, "nothing is read twice");

        batch(&mut readings, 2, 0.5);
        readings.add_norm(2, Some(Tensor::from_floats([f32::INFINITY], &device)));
        batch(&mut readings, 3, f32::NAN);
        let refused = readings.read(&mut position).unwrap();
        assert_eq!(refused, Some(NotFinite { what: "the norm of the gradient", step: 2 }));
        batch(&mut readings, 4, f32::NAN);
        let refused = readings.read(&mut position).unwrap();
        assert_eq!(refused, Some(NotFinite { what: "the loss", step: 4 }));
    }
}
