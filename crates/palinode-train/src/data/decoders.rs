//! The threads that decode pictures.

use crate::error::{Error, Result};
use palinode::wording::first_ten;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// The name of the threads that decode pictures. A decoder that panics on a broken file panics there, and
/// the panic becomes an error: a program may keep its panic hook from writing about them.
pub const DECODER_THREAD: &str = "palinode-decoder";

/// Fills `count` images of `length` bytes: `read` writes image `index`. The images are in the order of
/// their indices.
///
/// As many threads work as the pool of the caller has. `progress` is called with (images so far, images);
/// where it fails, the work stops.
///
/// # Errors
/// The error of `progress`. Where `read` failed once, its error; where it failed for several images,
/// [`palinode::Error::Config`] naming the first ten, in the order of the images. All images have then been
/// tried.
pub(super) fn decode_all(
    count: usize,
    length: usize,
    read: impl Fn(usize, &mut [u8]) -> Result<()> + Sync,
    progress: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<Vec<u8>> {
    let mut images = vec![0; count * length];
    let work = Mutex::new(images.chunks_mut(length.max(1)).take(count).enumerate());
    let (sender, results) = channel();
    let stopped = AtomicBool::new(false);
    let mut failures = Vec::new();
    let outcome = scope(|threads| {
        for _ in 0..rayon::current_num_threads().min(count.max(1)) {
            let (sender, work, read, stopped) = (sender.clone(), &work, &read, &stopped);
            let decode = move || {
                while !stopped.load(Ordering::Relaxed) {
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, image)) = next else { return };
                    // The receiver outlives the threads.
                    let _ = sender.send((index, read(index, image)));
                }
            };
            let started =
                Builder::new().name(DECODER_THREAD.to_owned()).spawn_scoped(threads, decode);
            started.map_err(Error::io(DECODER_THREAD))?;
        }
        drop(sender);
        for (done, (index, result)) in results.iter().enumerate() {
            if let Err(error) = result {
                failures.push((index, error));
            }
            if let Err(error) = progress(done + 1, count) {
                stopped.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    });
    outcome?;
    failures.sort_by_key(|(index, _)| *index);
    match failures.len() {
        0 => Ok(images),
        1 => Err(failures.remove(0).1),
        _ => Err(all(failures.into_iter().map(|(_, error)| error).collect())),
    }
}

/// One error for several files.
fn all(errors: Vec<Error>) -> Error {
    let named = first_ten(errors.iter().map(ToString::to_string), "; ", "more");
    Error::config(format!("{} pictures cannot be read", errors.len()), named)
}
