//! Sums that several cubes have made, added in a fixed order.

use super::buffer::{beginning, exactly};
use crate::error::Error;
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use cubecl::{self, calculate_cube_count_elemwise};

/// Bytes that the sums of all slots may take, if that leaves one slot.
pub(super) const PARTIAL_BYTES: usize = 64 << 20;

/// Adds up the sums of all slots, `[slots][numbers]` at the beginning of `partial`, in their order, and puts the
/// result to `into`, from `first` on.
///
/// # Errors
/// [`Error::Length`] if `partial` is too short, or if `into` is.
pub(super) fn sum_slots(
    client: &Client,
    partial: &Handle,
    into: &Handle,
    [slots, numbers]: [usize; 2],
    first: usize,
) -> Result<(), Error> {
    beginning("into", into, first + numbers)?;
    let length = into.size_in_used() as usize / 4;
    let dim = CubeDim::new(client, numbers);
    sum_kernel::launch(
        client,
        calculate_cube_count_elemwise(client, numbers, dim),
        dim,
        beginning("partial", partial, slots * numbers)?,
        exactly("into", into, length)?,
        slots as u32,
        numbers as u32,
        first as u32,
    );
    Ok(())
}

/// One number of the sum in each thread.
#[cube(launch)]
fn sum_kernel(partial: &[f32], into: &mut [f32], slots: u32, numbers: u32, first: u32) {
    let number = ABSOLUTE_POS;
    if number >= numbers as usize {
        terminate!();
    }
    let mut sum = 0.0f32;
    for slot in 0..slots as usize {
        sum += partial[slot * numbers as usize + number];
    }
    into[first as usize + number] = sum;
}
