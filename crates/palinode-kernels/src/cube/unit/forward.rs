//! All blocks of a unit forward, one image in each cube.

use super::map::{Four, Tile, activated, clear, correlate, load_argument, store, tile_at, wait};
use super::shape::UnitShape;
use crate::form::Form;
use cubecl::prelude::*;
use cubecl::{self};

/// Takes the state of every image through `evaluations` evaluations of residuals.
///
/// `state` is `[images][2 streams][channels][rows][columns]`. Evaluation e reads stream 1 − e mod 2 and changes
/// the other one: it adds scale·F. `weights` holds for each residual the array of the convolution before σ and,
/// behind those of all residuals, of its adjoint. `plan` names the arrays of each evaluation: its residual, and
/// with which of the two it begins.
#[cube(launch)]
pub(super) fn forward_kernel(
    state: &mut [f32],
    weights: &[Four],
    biases: &[Four],
    input_biases: &[f32],
    plan: &[u32],
    scales: &[f32],
    images: u32,
    evaluations: u32,
    residuals: u32,
    #[comptime] shape: UnitShape,
) {
    // The last row of cubes may have more than there are images.
    if CUBE_POS >= images as usize {
        terminate!();
    }
    let mut map = Shared::<[f32]>::new_slice(comptime!(shape.map_len()));
    let image = CUBE_POS * comptime!(2 * shape.stream());
    clear(&mut map, shape);
    wait(shape);
    for evaluation in 0..evaluations as usize {
        let target = image + (evaluation % 2) * comptime!(shape.stream());
        let source = image + (1 - evaluation % 2) * comptime!(shape.stream());
        let residual = plan[2 * evaluation] as usize;
        let swapped = plan[2 * evaluation + 1] as usize;
        let array = comptime!(shape.channels * 9 * shape.channels / 4);
        let inner = (swapped * residuals as usize + residual) * array;
        let outer = ((1 - swapped) * residuals as usize + residual) * array;

        let shift = residual * comptime!(shape.channels);
        load_argument(&mut map, &*state, source, input_biases, shift, shape);
        wait(shape);
        let mut sums = Array::<Four>::new(comptime!(shape.rows * shape.tiles_per_thread()));
        #[unroll]
        for number in 0..comptime!(shape.tiles_per_thread()) {
            let place = UNIT_POS as usize + comptime!(number * shape.threads);
            if place < comptime!(shape.tiles()) {
                let tile = tile_at(place, shape);
                let first = comptime!(number * shape.rows);
                let bias = biases[residual * comptime!(shape.channels / 4) + tile.group];
                hidden(&map, weights, inner, bias, &tile, &mut sums, first, shape);
            }
        }
        if comptime!(shape.form == Form::Symmetric) {
            wait(shape);
            #[unroll]
            for number in 0..comptime!(shape.tiles_per_thread()) {
                let place = UNIT_POS as usize + comptime!(number * shape.threads);
                if place < comptime!(shape.tiles()) {
                    let first = comptime!(number * shape.rows);
                    store(&mut map, &tile_at(place, shape), &sums, first, shape);
                    #[unroll]
                    for row in 0..shape.rows {
                        sums[comptime!(first + row)] = Four::new(0.0);
                    }
                }
            }
            wait(shape);
            #[unroll]
            for number in 0..comptime!(shape.tiles_per_thread()) {
                let place = UNIT_POS as usize + comptime!(number * shape.threads);
                if place < comptime!(shape.tiles()) {
                    let first = comptime!(number * shape.rows);
                    correlate(
                        &map,
                        weights,
                        outer,
                        &tile_at(place, shape),
                        &mut sums,
                        first,
                        shape,
                    );
                }
            }
        }
        #[unroll]
        for number in 0..comptime!(shape.tiles_per_thread()) {
            let place = UNIT_POS as usize + comptime!(number * shape.threads);
            if place < comptime!(shape.tiles()) {
                let first = comptime!(number * shape.rows);
                let tile = tile_at(place, shape);
                update(state, source, target, scales[evaluation], &tile, &sums, first, shape);
            }
        }
        wait(shape);
    }
}

/// σ(Mx + b) of a tile, where M is the convolution before σ.
#[cube]
pub(super) fn hidden(
    map: &[f32],
    weights: &[Four],
    inner: usize,
    bias: Four,
    tile: &Tile,
    sums: &mut Array<Four>,
    #[comptime] first: usize,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for row in 0..shape.rows {
        sums[comptime!(first + row)] = bias;
    }
    correlate(map, weights, inner, tile, sums, first, shape);
    #[unroll]
    for row in 0..shape.rows {
        sums[comptime!(first + row)] = activated(sums[comptime!(first + row)], shape.activation);
    }
}

/// Adds scale·F of a tile to the stream `target`: X⁺ = X′ + scale·F(X) or X⁺ = X + ((X − X′) + scale·F(X)), where X
/// is the stream `source`. The second is its own inverse; the first is undone with −scale.
#[cube]
pub(super) fn update(
    state: &mut [f32],
    source: usize,
    target: usize,
    scale: f32,
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
                let channel = (tile.group * 4 + output) * comptime!(shape.height * shape.width);
                let place = channel + (tile.row + row) * shape.width + tile.column;
                let before = state[target + place];
                if comptime!(shape.extrapolated) {
                    let current = state[source + place];
                    state[target + place] =
                        current + fma(scale, sum.extract(output), current - before);
                } else {
                    state[target + place] = fma(scale, sum.extract(output), before);
                }
            }
        }
    }
}
