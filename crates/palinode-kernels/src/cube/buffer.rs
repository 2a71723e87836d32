//! Buffers as the arguments of kernels.

use crate::error::Error;
use cubecl::prelude::*;
use cubecl::server::Handle;

/// A buffer of exactly `length` f32 or u32 as the argument of a kernel.
///
/// # Errors
/// [`Error::Length`] naming the buffer.
pub(super) fn exactly(
    what: &'static str,
    buffer: &Handle,
    length: usize,
) -> Result<BufferArg, Error> {
    exactly_of(what, buffer, length, 4)
}

/// A buffer of exactly `length` numbers of `bytes` bytes as the argument of a kernel.
///
/// # Errors
/// [`Error::Length`] naming the buffer.
pub(super) fn exactly_of(
    what: &'static str,
    buffer: &Handle,
    length: usize,
    bytes: usize,
) -> Result<BufferArg, Error> {
    let found = buffer.size_in_used() as usize / bytes;
    if found != length {
        return Err(Error::Length { what, expected: length, found });
    }
    // SAFETY: the buffer holds `length` numbers of `bytes` bytes, as has just been checked.
    Ok(unsafe { BufferArg::from_raw_parts(buffer.clone(), length) })
}

/// The first `length` f32 or u32 of a buffer as the argument of a kernel.
///
/// # Errors
/// [`Error::Length`] naming the buffer.
pub(super) fn beginning(
    what: &'static str,
    buffer: &Handle,
    length: usize,
) -> Result<BufferArg, Error> {
    let found = buffer.size_in_used() as usize / 4;
    if found < length {
        return Err(Error::Length { what, expected: length, found });
    }
    // SAFETY: the buffer holds at least `length` numbers of four bytes, as has just been checked.
    Ok(unsafe { BufferArg::from_raw_parts(buffer.clone(), length) })
}
