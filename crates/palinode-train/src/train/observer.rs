//! Watching a run.

use super::metrics::Row;
use super::start::StartReport;

/// A watcher of a run: a progress bar, a test.
pub trait Observer: Send {
    /// While pictures are decoded, before the run begins: how many there are so far, and in all.
    fn loading(&mut self, _done: usize, _pictures: usize) {}
    /// Before the first step: something a user should know about the images or the run.
    fn remark(&mut self, _remark: &str) {}
    /// Before the first step of a run that starts from the weights of a file.
    fn started_from(&mut self, _start: &StartReport) {}
    /// Before the first step of a run that goes on: in epoch `epoch` (from 1) of `epochs`, after `step` of
    /// its steps.
    fn resumed(&mut self, _epoch: usize, _epochs: usize, _step: usize) {}
    /// Before the first file of a run is written. From now on, [`stop_requested`](Self::stop_requested) is
    /// asked after every step.
    fn begins(&mut self) {}
    /// After every step.
    fn step(&mut self, _progress: &Progress) {}
    /// After every epoch and validation.
    fn row(&mut self, _row: &Row, _epochs: usize) {}
    /// Peak of the live bytes since the process began; `None`, the default, where nobody counts them.
    /// A program counts them with the allocator `palinode_kernels::heap::Heap`.
    fn peak_bytes(&self) -> Option<u64> {
        None
    }
    /// Whether the run is to stop after the current step.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Where a run stands, for display.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Finished optimiser steps of this epoch.
    pub step: usize,
    /// Optimiser steps of an epoch.
    pub steps: usize,
    /// Mean loss of this epoch so far, as far as it has been read from the device; NaN before that.
    pub loss: f64,
    /// Accuracy of this epoch so far; NaN likewise.
    pub accuracy: f64,
    /// Images per second of this epoch so far.
    pub images_per_second: f64,
    /// The largest relative difference of a state that came back in this epoch so far, as far as it has been read.
    pub drift: f64,
}
