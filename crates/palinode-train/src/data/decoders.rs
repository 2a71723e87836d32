//! The threads that decode pictures.

use crate::error::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{Builder, scope};

/// The name of the threads that decode pictures. A decoder that panics on a broken file panics there, and
/// the panic becomes an error: a program may keep its panic hook from writing about them.
pub const DECODER_THREAD: &str = "palinode-decoder";

/// A pool of so many threads that decode pictures.
///
/// # Errors
/// [`palinode::Error::Io`] where the system does not give them.
pub(super) fn decoders(threads: usize) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    let pool = pool.thread_name(|_| DECODER_THREAD.to_owned()).build();
    pool.map_err(|error| Error::io(DECODER_THREAD)(std::io::Error::other(error)))
}

/// What became of some images.
pub(super) struct Decoded<S> {
    /// The state of every thread.
    pub states: Vec<S>,
    /// The images that could not be read, in their order, and why.
    pub failures: Vec<(usize, Error)>,
}

/// Calls `work` once for every image in `range`, on as many threads as the pool of the caller has. Each of
/// them has its own `state`. An image that fails does not keep the others from being tried.
///
/// `progress` is called with (images so far, images).
///
/// # Errors
/// [`palinode::Error::Io`] where the system gives no thread.
pub(super) fn for_each_image<S: Send>(
    range: Range<usize>,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<()> + Sync,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Decoded<S>> {
    let count = range.len();
    let next = AtomicUsize::new(range.start);
    let (sender, results) = channel();
    let mut failures = Vec::new();
    let states = scope(|threads| {
        let threads_wanted = rayon::current_num_threads().min(count.max(1));
        let mut workers = Vec::with_capacity(threads_wanted);
        for _ in 0..threads_wanted {
            let (sender, next, state, work, end) =
                (sender.clone(), &next, &state, &work, range.end);
            let decode = move || {
                let mut own = state();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= end {
                        return own;
                    }
                    // The receiver outlives the threads.
                    let _ = sender.send((index, work(&mut own, index)));
                }
            };
            let started =
                Builder::new().name(DECODER_THREAD.to_owned()).spawn_scoped(threads, decode);
            // The threads that are there have nothing left to do.
            let started = started.inspect_err(|_| next.store(end, Ordering::Relaxed));
            workers.push(started.map_err(Error::io(DECODER_THREAD))?);
        }
        drop(sender);
        for (done, (index, result)) in results.iter().enumerate() {
            if let Err(error) = result {
                failures.push((index, error));
            }
            progress(done + 1, count);
        }
        let states = workers.into_iter().map(|worker| match worker.join() {
            Ok(state) => state,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        Ok::<_, Error>(states.collect())
    })?;
    failures.sort_by_key(|(index, _)| *index);
    Ok(Decoded { states, failures })
}

/// One error for some images that cannot be read: that of the only one, or [`palinode::Error::Config`] naming
/// the first ten.
pub(super) fn all_unreadable(mut failures: Vec<(usize, Error)>) -> Error {
    match failures.len() {
        1 => failures.remove(0).1,
        count => unreadable(count, first_reasons(&failures)),
    }
}

/// What is wrong with the first ten of some images.
pub(crate) fn first_reasons(failures: &[(usize, Error)]) -> Vec<String> {
    failures.iter().take(10).map(|(_, error)| error.to_string()).collect()
}

/// The error of `count` images that cannot be read, by what is wrong with the first ten.
pub(crate) fn unreadable(count: usize, reasons: Vec<String>) -> Error {
    let pictures = if count == 1 { "picture" } else { "pictures" };
    let mut named = reasons.join("; ");
    if count > reasons.len() {
        named += &format!(", and {} more", count - reasons.len());
    }
    Error::config(format!("{count} {pictures} cannot be read"), named)
}
