//! Where the time of training steps goes, summed over the whole process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A part of a step that the kernels compute, forwards and backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The reversible units.
    Units,
    /// Plain convolutions: the stem's.
    Convolutions,
    /// Batch norms.
    Norms,
    /// Pools and zero channels between units.
    Transitions,
}

impl Part {
    const ALL: [Self; 4] = [Self::Units, Self::Convolutions, Self::Norms, Self::Transitions];

    fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::Convolutions => "convolutions",
            Self::Norms => "norms",
            Self::Transitions => "transitions",
        }
    }
}

static NANOSECONDS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Runs `work` and counts its time.
pub(crate) fn time<T>(part: Part, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    let elapsed = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    NANOSECONDS[part as usize].fetch_add(elapsed, Ordering::Relaxed);
    result
}

/// Seconds of every part since the process began.
pub(super) fn seconds() -> [(&'static str, f64); 4] {
    Part::ALL
        .map(|part| (part.name(), NANOSECONDS[part as usize].load(Ordering::Relaxed) as f64 / 1e9))
}
