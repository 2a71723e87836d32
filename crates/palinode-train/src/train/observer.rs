//! Who watches a run, and what it is told.

use super::metrics::Row;

/// Who watches a run: a progress bar, a test.
pub trait Observer: Send {
    /// After every step.
    fn step(&mut self, _progress: &Progress) {}
    /// After every epoch and validation.
    fn row(&mut self, _row: &Row, _epochs: usize) {}
    /// Peak of the live bytes since the process began.
    fn peak_bytes(&self) -> u64 {
        0
    }
    /// Whether the run shall stop at the next opportunity.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Where a run stands, for people.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Finished steps of this epoch.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Mean loss of this epoch so far.
    pub loss: f64,
    /// Accuracy of this epoch so far.
    pub accuracy: f64,
    /// Images per second of this epoch so far.
    pub images_per_second: f64,
}
