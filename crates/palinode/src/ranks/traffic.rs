//! What ranks have sent.

use std::time::Duration;

/// What one rank has sent since the last look, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Bytes of gradients.
    pub gradient_bytes: u64,
    /// Bytes of everything that the computation waited for: statistics of norms, losses, gathered results.
    pub sum_bytes: u64,
    /// Messages.
    pub messages: u64,
    /// How long gradients were under way, in sum over their buffers.
    pub sending: Duration,
    /// How long the computation waited for gradients.
    pub waiting_for_gradients: Duration,
    /// How long it waited for sums.
    pub waiting_for_sums: Duration,
}

impl Traffic {
    /// Of the time in which gradients were under way, the part that the computation did not wait for them, in 0…1; `None` if
    /// there were none.
    pub fn overlapped(&self) -> Option<f64> {
        let [sending, waiting] =
            [self.sending, self.waiting_for_gradients].map(|time| time.as_secs_f64());
        (sending > 0.0).then(|| (1.0 - waiting / sending).max(0.0))
    }
}
