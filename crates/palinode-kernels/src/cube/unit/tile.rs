//! Tiles: what one thread computes of a correlation.
//!
//! A thread takes the tiles `UNIT_POS`, `UNIT_POS` + threads, … and keeps the sums of all of them in one array,
//! [`rows`](UnitShape::rows) vectors a tile. Functions that end in `all` do something for all tiles of a thread.

use super::shape::UnitShape;
use crate::Activation;
use cubecl::prelude::*;
use cubecl::{self};

/// Four output channels.
pub(super) type Four = Vector<f32, Const<4>>;

/// Four output channels of an array of weights.
pub(super) type Weights<M> = Vector<M, Const<4>>;

/// The place of a tile: its group of channels, its first row and its column.
#[derive(CubeType, Clone, Copy)]
struct Tile {
    group: usize,
    row: usize,
    column: usize,
}

/// Tile `tile` of all, columns first, so that threads beside each other read pixels beside each other.
#[cube]
fn tile_at(tile: usize, #[comptime] shape: UnitShape) -> Tile {
    let (rest, column) = (tile / comptime!(shape.width), tile % comptime!(shape.width));
    let (group, row) = (rest / comptime!(shape.tile_rows()), rest % comptime!(shape.tile_rows()));
    Tile { group, row: row * comptime!(shape.rows), column }
}

/// The place of one vector of sums: a pixel of a group of channels.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Spot {
    pub group: usize,
    pub row: usize,
    pub column: usize,
    /// Whether the thread has such a tile, and the row is in the image.
    pub inside: bool,
}

/// The place of vector `number` of all of this thread's tiles.
#[cube]
pub(super) fn spot_of(#[comptime] number: usize, #[comptime] shape: UnitShape) -> Spot {
    let tile = UNIT_POS as usize + comptime!(number / shape.rows * shape.threads);
    let Tile { group, row, column } = tile_at(tile, shape);
    let row = row + comptime!(number % shape.rows);
    let inside = tile < comptime!(shape.tiles()) && row < shape.height;
    Spot { group, row, column, inside }
}

/// Where output channel `output` of a spot is in its stream.
#[cube]
pub(super) fn place_of(
    spot: &Spot,
    #[comptime] output: usize,
    #[comptime] shape: UnitShape,
) -> usize {
    let channel = (spot.group * 4 + output) * comptime!(shape.height * shape.width);
    channel + spot.row * shape.width + spot.column
}

/// Sums for all tiles of a thread, all zero.
#[cube]
pub(super) fn zeros(#[comptime] shape: UnitShape) -> Array<Four> {
    let mut sums = Array::<Four>::new(comptime!(shape.sums()));
    clear_all(&mut sums, shape);
    sums
}

/// Sets all sums to zero.
#[cube]
pub(super) fn clear_all(sums: &mut Array<Four>, #[comptime] shape: UnitShape) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        sums[number] = Four::new(0.0);
    }
}

/// Adds the correlation of the map with the kernels at `kernels` to the sums.
///
/// A kernel array is `[inputs][9 taps][outputs]`, the outputs in vectors.
#[cube]
pub(super) fn correlate_all<M: Float>(
    map: &[M],
    weights: &[Weights<M>],
    kernels: usize,
    sums: &mut Array<Four>,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for number in 0..comptime!(shape.tiles_per_thread()) {
        let place = UNIT_POS as usize + comptime!(number * shape.threads);
        if place < comptime!(shape.tiles()) {
            let tile = tile_at(place, shape);
            correlate(map, weights, kernels, &tile, sums, comptime!(number * shape.rows), shape);
        }
    }
}

/// Mx + b, where x is the map, `inner` the array of M and `residual` the number of b.
#[cube]
pub(super) fn convolve_all<M: Float>(
    map: &[M],
    weights: &[Weights<M>],
    inner: usize,
    biases: &[Four],
    residual: usize,
    sums: &mut Array<Four>,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        let spot = spot_of(number, shape);
        if spot.inside {
            sums[number] = biases[residual * comptime!(shape.channels / 4) + spot.group];
        }
    }
    correlate_all::<M>(map, weights, inner, sums, shape);
}

/// [`correlate_all`] for one tile, whose sums begin at `first`.
#[cube]
fn correlate<M: Float>(
    map: &[M],
    weights: &[Weights<M>],
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
                let x = map[corner + comptime!(row * shape.pitch() + column)];
                window[comptime!(row * 3 + column)] = f32::cast_from(x);
            }
        }
        #[unroll]
        for tap in 0..9usize {
            let factor = Four::cast_from(weights[weight + comptime!(tap * groups)]);
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

/// σ of all sums.
#[cube]
pub(super) fn activate_all(sums: &mut Array<Four>, #[comptime] shape: UnitShape) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        sums[number] = activated(sums[number], shape.activation);
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

/// σ′(x), from x and σ(x).
#[cube]
pub(super) fn derivative(x: Four, value: Four, #[comptime] activation: Activation) -> Four {
    match activation {
        Activation::Relu => {
            let mut found = Four::new(0.0);
            #[unroll]
            for number in 0..4usize {
                found.insert(number, select(x.extract(number) > 0.0f32, 1.0f32, 0.0f32));
            }
            found
        }
        Activation::Tanh => Four::new(1.0) - value * value,
        Activation::Softplus => Four::new(1.0) / (Four::new(1.0) + (-x).exp()),
    }
}

/// Writes the sums to the map. Rows outside the image stay zero.
#[cube]
pub(super) fn store_all<M: Float>(map: &mut [M], sums: &Array<Four>, #[comptime] shape: UnitShape) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        let spot = spot_of(number, shape);
        if spot.inside {
            let line = (spot.row + 1) * comptime!(shape.pitch()) + spot.column + 1;
            #[unroll]
            for output in 0..4usize {
                let plane = (spot.group * 4 + output) * comptime!(shape.plane());
                map[plane + line] = M::cast_from(sums[number].extract(output));
            }
        }
    }
}

/// Reads the sums from a stream, times `scale`.
#[cube]
pub(super) fn read_all(
    from: &[f32],
    stream: usize,
    scale: f32,
    sums: &mut Array<Four>,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        let spot = spot_of(number, shape);
        if spot.inside {
            let mut found = Four::new(0.0);
            #[unroll]
            for output in 0..4usize {
                found.insert(output, scale * from[stream + place_of(&spot, output, shape)]);
            }
            sums[number] = found;
        }
    }
}

/// Writes the sums to a stream.
#[cube]
pub(super) fn write_all(
    into: &mut [f32],
    stream: usize,
    sums: &Array<Four>,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        let spot = spot_of(number, shape);
        if spot.inside {
            #[unroll]
            for output in 0..4usize {
                into[stream + place_of(&spot, output, shape)] = sums[number].extract(output);
            }
        }
    }
}
