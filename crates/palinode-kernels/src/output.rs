//! Results in memory that nobody has written before.

use std::mem::MaybeUninit;

/// Numbers that are written and not read.
pub(crate) type Output = [MaybeUninit<f32>];

/// Numbers that are there, to be written again.
pub(crate) fn overwritten(numbers: &mut [f32]) -> &mut Output {
    // SAFETY: both have the same layout, and what this crate writes into an `Output` are numbers.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut Output) }
}

/// A vector of `len` numbers that `write` sets. (Zeros would cost a pass over the memory, by one thread.)
///
/// # Safety
/// `write` sets every one of them unless it returns an error.
pub(crate) unsafe fn written<E>(
    len: usize,
    write: impl FnOnce(&mut Output) -> Result<(), E>,
) -> Result<Vec<f32>, E> {
    let mut numbers = Vec::with_capacity(len);
    write(&mut numbers.spare_capacity_mut()[..len])?;
    // SAFETY: there is room for them, and the caller says they are all set.
    unsafe { numbers.set_len(len) };
    Ok(numbers)
}
