//! The map that the threads of a cube share.

use super::shape::UnitShape;
use cubecl::prelude::*;
use cubecl::{self};

/// Waits for all threads of the cube, whose writes to shared memory and to buffers are then visible to it.
#[cube]
pub(super) fn wait(#[comptime] shape: UnitShape) {
    if comptime!(shape.storage_barrier) {
        sync_storage();
    } else {
        sync_cube();
    }
}

/// Fills the map with zeros.
#[cube]
pub(super) fn clear<M: Float>(map: &mut [M], #[comptime] shape: UnitShape) {
    let length = comptime!(shape.map_len());
    let mut place = UNIT_POS as usize;
    while place < length {
        map[place] = M::new(0.0);
        place += comptime!(shape.threads);
    }
}

/// Copies all channels of a stream, which begins at `first`, to the map, times `scale`; the border stays as it is.
#[cube]
pub(super) fn load<M: Float>(
    map: &mut [M],
    from: &[f32],
    first: usize,
    scale: f32,
    #[comptime] shape: UnitShape,
) {
    let mut place = UNIT_POS as usize;
    while place < comptime!(shape.stream()) {
        map[inside(place, shape)] = M::cast_from(scale * from[first + place]);
        place += comptime!(shape.threads);
    }
}

/// [`load`] of an argument of F: with the biases before K added, if there are any; those of this residual begin
/// at `shift`.
#[cube]
pub(super) fn load_argument<M: Float>(
    map: &mut [M],
    from: &[f32],
    first: usize,
    shifts: &[f32],
    shift: usize,
    #[comptime] shape: UnitShape,
) {
    let area = comptime!(shape.height * shape.width);
    let mut place = UNIT_POS as usize;
    while place < comptime!(shape.stream()) {
        let mut x = from[first + place];
        if comptime!(shape.input_bias) {
            x += shifts[shift + place / area];
        }
        map[inside(place, shape)] = M::cast_from(x);
        place += comptime!(shape.threads);
    }
}

/// Where the number `place` of a stream is in the map.
#[cube]
fn inside(place: usize, #[comptime] shape: UnitShape) -> usize {
    let area = comptime!(shape.height * shape.width);
    let (channel, pixel) = (place / area, place % area);
    let (row, column) = (pixel / comptime!(shape.width), pixel % comptime!(shape.width));
    channel * comptime!(shape.plane()) + (row + 1) * comptime!(shape.pitch()) + column + 1
}
