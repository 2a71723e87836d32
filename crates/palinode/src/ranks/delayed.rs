//! A link with a longer latency.

use super::link::{Channel, Link};
use std::time::Duration;

/// A link whose messages arrive later, to measure what a network with a longer latency would cost.
#[derive(Debug)]
pub struct Delayed<L> {
    link: L,
    delay: Duration,
}

impl<L: Link> Delayed<L> {
    /// `link` with so much more latency. (A sleep of the system, which is some 50 µs longer than asked for.)
    pub fn new(link: L, delay: Duration) -> Self {
        Self { link, delay }
    }
}

impl<L: Link> Link for Delayed<L> {
    fn count(&self) -> usize {
        self.link.count()
    }

    fn rank(&self) -> usize {
        self.link.rank()
    }

    fn exchange(&self, partner: usize, channel: Channel, out: &[u8], into: &mut [u8]) {
        self.link.exchange(partner, channel, out, into);
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
    }
}
