//! Where the time of training steps goes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

/// A part of a training step whose time is counted, forward and backward together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
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

impl Section {
    /// Every section, in the order of [`Profile::seconds`].
    pub const ALL: [Self; SECTIONS] =
        [Self::Units, Self::Convolutions, Self::Norms, Self::Transitions, Self::Dropouts];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::Convolutions => "convolutions",
            Self::Norms => "norms",
            Self::Transitions => "transitions",
            Self::Dropouts => "dropouts",
        }
    }
}

const SECTIONS: usize = 5;

/// The time that each [`Section`] has taken since the profile was made.
///
/// Sections may be nested: each counts its own time, without that of sections timed inside it on the
/// same thread.
#[derive(Debug, Default)]
pub struct Profile {
    nanoseconds: [AtomicU64; SECTIONS],
    /// For every thread inside a section: the time of the sections that have ended inside it.
    nested: Mutex<HashMap<ThreadId, u64>>,
}

impl Profile {
    /// Runs `work` and counts its time for `section`.
    pub fn time<T>(&self, section: Section, work: impl FnOnce() -> T) -> T {
        let outer = self.replace_nested(Some(0));
        let began = Instant::now();
        let result = work();
        let elapsed = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let nested = self.replace_nested(outer.map(|outer| outer.saturating_add(elapsed)));
        let own = elapsed.saturating_sub(nested.unwrap_or(0));
        self.nanoseconds[section as usize].fetch_add(own, Ordering::Relaxed);
        result
    }

    /// Seconds that every section has taken, summed over threads.
    pub fn seconds(&self) -> [(&'static str, f64); SECTIONS] {
        Section::ALL.map(|section| {
            let nanoseconds = self.nanoseconds[section as usize].load(Ordering::Relaxed);
            (section.name(), nanoseconds as f64 / 1e9)
        })
    }

    /// Sets this thread's time of nested sections, or removes it; returns the time before.
    fn replace_nested(&self, time: Option<u64>) -> Option<u64> {
        let mut nested = self.nested.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread::current().id();
        match time {
            Some(time) => nested.insert(thread, time),
            None => nested.remove(&thread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn nested_sections_are_counted_once() {
        let profile = Profile::default();
        let pause = |milliseconds| thread::sleep(Duration::from_millis(milliseconds));
        let began = Instant::now();
        profile.time(Section::Units, || {
            pause(20);
            profile.time(Section::Norms, || {
                pause(60);
                profile.time(Section::Dropouts, || pause(30));
            });
        });
        let elapsed = began.elapsed().as_secs_f64();
        let seconds = profile.seconds().map(|(_, seconds)| seconds);
        let [units, _, norms, _, dropouts] = seconds;
        assert!(units >= 0.02 && norms >= 0.06 && dropouts >= 0.03, "{seconds:?}");
        assert!(seconds.iter().sum::<f64>() <= elapsed, "{seconds:?} in {elapsed} s");
        assert!(profile.nested.lock().expect("no panic").is_empty());
    }

    #[test]
    fn other_threads_do_not_count_as_nested() {
        let profile = Profile::default();
        let pause = || thread::sleep(Duration::from_millis(30));
        profile.time(Section::Units, || {
            thread::scope(|scope| {
                scope.spawn(|| profile.time(Section::Norms, pause));
            });
        });
        let [units, _, norms, ..] = profile.seconds().map(|(_, seconds)| seconds);
        assert!(units >= 0.030 && norms >= 0.030);
    }
}
