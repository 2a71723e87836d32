//! The map that the threads of a cube share, and correlations of it with 3×3 kernels.

use super::shape::UnitShape;
use crate::Activation;
use cubecl::prelude::*;
use cubecl::{self};

/// Four output channels.
pub(super) type Four = Vector<f32, Const<4>>;

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
pub(super) fn clear(map: &mut [f32], #[comptime] shape: UnitShape) {
    let length = comptime!(shape.map_len());
    let mut place = UNIT_POS as usize;
    while place < length {
        map[place] = 0.0;
        place += comptime!(shape.threads);
    }
}

/// Copies all channels of a stream, which begins at `first`, to the map, times `scale`; the border stays as it is.
#[cube]
pub(super) fn load(
    map: &mut [f32],
    from: &[f32],
    first: usize,
    scale: f32,
    #[comptime] shape: UnitShape,
) {
    let mut place = UNIT_POS as usize;
    while place < comptime!(shape.stream()) {
        map[inside(place, shape)] = scale * from[first + place];
        place += comptime!(shape.threads);
    }
}

/// [`load`] of an argument of F: with the biases before K added, if there are any; those of this residual begin
/// at `shift`.
#[cube]
pub(super) fn load_argument(
    map: &mut [f32],
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
        map[inside(place, shape)] = x;
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

/// The place of a tile: its group of channels, its first row and its column.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Tile {
    pub group: usize,
    pub row: usize,
    pub column: usize,
}

/// Tile `tile` of all, columns first, so that threads beside each other read pixels beside each other.
#[cube]
pub(super) fn tile_at(tile: usize, #[comptime] shape: UnitShape) -> Tile {
    let (rest, column) = (tile / comptime!(shape.width), tile % comptime!(shape.width));
    let (group, row) = (rest / comptime!(shape.tile_rows()), rest % comptime!(shape.tile_rows()));
    Tile { group, row: row * comptime!(shape.rows), column }
}

/// Adds the correlation of the map with the kernels at `kernels` to `sums`, of which one tile begins at `first`.
///
/// A kernel array is `[inputs][9 taps][outputs]`, the outputs in vectors.
#[cube]
pub(super) fn correlate(
    map: &[f32],
    weights: &[Four],
    kernels: usize,
    tile: &Tile,
    sums: &mut Array<Four>,
    #[comptime] first: usize,
    #[comptime] shape: UnitShape,
) {
    let groups = comptime!(shape.channels / 4);
    let mut corner = tile.row * comptime!(shape.pitch()) + tile.column;
    let mut weight = kernels + tile.group;
    for _ in 0..shape.channels {
        let mut window = Array::<f32>::new(comptime!((shape.rows + 2) * 3));
        #[unroll]
        for row in 0..comptime!(shape.rows + 2) {
            #[unroll]
            for column in 0..3usize {
                window[comptime!(row * 3 + column)] =
                    map[corner + comptime!(row * shape.pitch() + column)];
            }
        }
        #[unroll]
        for tap in 0..9usize {
            let factor = weights[weight + comptime!(tap * groups)];
            #[unroll]
            for row in 0..shape.rows {
                let x = Four::new(window[comptime!((row + tap / 3) * 3 + tap % 3)]);
                sums[comptime!(first + row)] = fma(factor, x, sums[comptime!(first + row)]);
            }
        }
        corner += comptime!(shape.plane());
        weight += comptime!(9 * groups);
    }
}

/// Writes a tile of sums to the map. Rows outside the image stay zero.
#[cube]
pub(super) fn store(
    map: &mut [f32],
    tile: &Tile,
    sums: &Array<Four>,
    #[comptime] first: usize,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for row in 0..shape.rows {
        if tile.row + row < shape.height {
            let sum = sums[comptime!(first + row)];
            #[unroll]
            for output in 0..4usize {
                let plane = (tile.group * 4 + output) * comptime!(shape.plane());
                let place = (tile.row + row + 1) * comptime!(shape.pitch()) + tile.column + 1;
                map[plane + place] = sum.extract(output);
            }
        }
    }
}

/// σ(x).
#[cube]
pub(super) fn activated(x: Four, #[comptime] activation: Activation) -> Four {
    match activation {
        Activation::Relu => max(x, Four::new(0.0)),
        Activation::Tanh => x.tanh(),
        Activation::Softplus => max(x, Four::new(0.0)) + (-x.abs()).exp().log1p(),
    }
}
