//! Signals that ask the program to end: Ctrl-C (SIGINT), SIGTERM, and SIGHUP.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What was asked for so far.
///
/// A signal ends the program at once, until a run [listens](Self::listen): then the first one asks the run to
/// save and stop, and the second one ends the program at once. The exit code is 128 + the signal's number.
#[derive(Clone, Debug)]
pub struct Signals {
    /// The number of the last signal; 0 before the first.
    received: Arc<AtomicUsize>,
    /// Whether the next signal ends the program at once.
    at_once: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the signals over.
    pub fn new() -> std::io::Result<Self> {
        let signals = Self { received: Arc::default(), at_once: Arc::new(AtomicBool::new(true)) };
        for signal in ending() {
            let (received, at_once) = (&signals.received, &signals.at_once);
            // Handlers of one signal are called in this order: what the first one sees is from before.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(at_once))?;
            flag::register_usize(signal, Arc::clone(received), signal as usize)?;
            flag::register(signal, Arc::clone(at_once))?;
        }
        Ok(signals)
    }

    /// From now on, the first signal only asks to stop.
    pub fn listen(&self) {
        // A signal that came before stays the first one.
        if !self.stop_requested() {
            self.at_once.store(false, Ordering::SeqCst);
        }
    }

    /// Whether a run is to save and stop.
    pub fn stop_requested(&self) -> bool {
        self.received.load(Ordering::SeqCst) != 0
    }

    /// The exit code of a run that stopped: 128 + the number of the signal.
    pub fn exit_code(&self) -> u8 {
        let signal = match self.received.load(Ordering::SeqCst) {
            0 => SIGINT as usize,
            signal => signal,
        };
        (128 + signal) as u8
    }
}

/// The signals. SIGHUP stays ignored where it was ignored from the start, as under `nohup`.
fn ending() -> Vec<i32> {
    let mut signals = vec![SIGINT, SIGTERM];
    #[cfg(unix)]
    if !is_ignored(signal_hook::consts::SIGHUP) {
        signals.push(signal_hook::consts::SIGHUP);
    }
    signals
}

/// Whether this process ignores a signal; false where the system does not say.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
