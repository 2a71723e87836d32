//! Where the time of training steps goes, summed over the whole process.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A part of a step that the kernels compute, forwards and backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The reversible units.
    Units,
    /// Plain convolutions: the stem's, and those of residuals that no kernel computes as a whole.
    Convolutions,
    /// Batch norms.
    Norms,
    /// Pools and zero channels between units.
    Transitions,
    /// Dropouts.
    Dropouts,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; PARTS] =
        [Self::Units, Self::Convolutions, Self::Norms, Self::Transitions, Self::Dropouts];

    fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::Convolutions => "convolutions",
            Self::Norms => "norms",
            Self::Transitions => "transitions",
            Self::Dropouts => "dropouts",
        }
    }
}

const PARTS: usize = 5;

static NANOSECONDS: [AtomicU64; PARTS] = [const { AtomicU64::new(0) }; PARTS];

thread_local! {
    /// Time of the parts that have been at work inside the one that is.
    static INSIDE: Cell<u64> = const { Cell::new(0) };
}

/// Runs `work` and counts its time, less that of other parts inside it.
pub fn time<T>(part: Part, work: impl FnOnce() -> T) -> T {
    let before = INSIDE.replace(0);
    let began = Instant::now();
    let result = work();
    let elapsed = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let own = elapsed.saturating_sub(INSIDE.replace(before.saturating_add(elapsed)));
    NANOSECONDS[part as usize].fetch_add(own, Ordering::Relaxed);
    result
}

/// Seconds of every part since the process began.
pub fn seconds() -> [(&'static str, f64); PARTS] {
    Part::ALL
        .map(|part| (part.name(), NANOSECONDS[part as usize].load(Ordering::Relaxed) as f64 / 1e9))
}
