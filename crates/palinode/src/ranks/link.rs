//! The exchange of bytes between two ranks.

use std::fmt::Debug;

/// What a message belongs to. Messages of different channels between two ranks do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Sums that the computation waits for.
    Sums,
    /// Gradients, which are added up while the computation goes on.
    Gradients,
}

/// The connection of one rank with all others.
///
/// A rank that cannot be reached is the end: an implementation ends the process or panics. It does not wait for ever.
pub trait Link: Debug + Send + Sync {
    /// How many ranks there are.
    fn count(&self) -> usize;

    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// Sends `out` to rank `partner` and receives `into` from it. That rank calls this too, on the same channel, with
    /// arrays of these lengths.
    ///
    /// Every channel has one thread that calls this at a time. The two channels may be used at the same time.
    fn exchange(&self, partner: usize, channel: Channel, out: &[u8], into: &mut [u8]);
}
