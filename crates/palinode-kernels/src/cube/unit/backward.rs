//! All blocks of a unit backward: the state is reconstructed, and the gradients are found on the way.

use super::forward::update;
use super::gradient::{add_channel_sums, add_kernel_gradient};
use super::map::{Four, Tile, activated, clear, correlate, load, load_argument, tile_at, wait};
use super::shape::UnitShape;
use crate::Activation;
use crate::form::Form;
use cubecl::prelude::*;
use cubecl::{self};

/// Undoes the evaluations `first + count − 1` to `first` of every image, as
/// [`forward_kernel`](super::forward::forward_kernel) made them.
///
/// `state` ends as it was before them, and `gradient`, the gradient with respect to the state, moves with it. Cube
/// g of G takes the images g, g + G, … one after the other. It keeps what its images contribute to the gradients with
/// respect to the parameters in `partial`, `[G][count][kernel and bias]`, and σ(Mx + b) and the gradient with respect
/// to Mx + b in `scratch`, `[G][2][channels][rows][columns]`.
#[cube(launch)]
pub(super) fn backward_kernel(
    state: &mut [f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
    partial: &mut [f32],
    weights: &[Four],
    biases: &[Four],
    input_biases: &[f32],
    plan: &[u32],
    scales: &[f32],
    images: u32,
    first: u32,
    count: u32,
    residuals: u32,
    #[comptime] shape: UnitShape,
) {
    let mut map = Shared::<[f32]>::new_slice(comptime!(shape.map_len()));
    let cube = CUBE_POS;
    let values = cube * comptime!(2 * shape.stream());
    let deltas = values + comptime!(shape.stream());
    clear(&mut map, shape);
    wait(shape);
    for back in 0..count as usize {
        let number = count as usize - 1 - back;
        let evaluation = first as usize + number;
        let slot = (cube * count as usize + number) * comptime!(shape.parameters());
        let residual = plan[2 * evaluation] as usize;
        let swapped = plan[2 * evaluation + 1] as usize;
        let array = comptime!(shape.channels * 9 * shape.channels / 4);
        let inner = (swapped * residuals as usize + residual) * array;
        let outer = ((1 - swapped) * residuals as usize + residual) * array;
        let scale = scales[evaluation];
        let shift = residual * comptime!(shape.channels);
        let bias_slot = slot + comptime!(shape.channels * shape.channels * 9);
        let mut image = cube;
        while image < images as usize {
            let base = image * comptime!(2 * shape.stream());
            let target = base + (evaluation % 2) * comptime!(shape.stream());
            let source = base + (1 - evaluation % 2) * comptime!(shape.stream());
            let fresh = image == cube;

            // Mx + b.
            let length = comptime!(shape.rows * shape.tiles_per_thread());
            let mut sums = Array::<Four>::new(length);
            let mut products = Array::<Four>::new(length);
            load_argument(&mut map, &*state, source, input_biases, shift, shape);
            wait(shape);
            #[unroll]
            for number in 0..comptime!(shape.tiles_per_thread()) {
                let place = UNIT_POS as usize + comptime!(number * shape.threads);
                if place < comptime!(shape.tiles()) {
                    let tile = tile_at(place, shape);
                    let first = comptime!(number * shape.rows);
                    let bias = biases[residual * comptime!(shape.channels / 4) + tile.group];
                    #[unroll]
                    for row in 0..shape.rows {
                        sums[comptime!(first + row)] = bias;
                        products[comptime!(first + row)] = Four::new(0.0);
                    }
                    correlate(&map, weights, inner, &tile, &mut sums, first, shape);
                }
            }
            if comptime!(shape.form == Form::Symmetric) {
                // The cotangent, and M times it.
                wait(shape);
                load(&mut map, &*gradient, target, scale, shape);
                wait(shape);
                #[unroll]
                for number in 0..comptime!(shape.tiles_per_thread()) {
                    let place = UNIT_POS as usize + comptime!(number * shape.threads);
                    if place < comptime!(shape.tiles()) {
                        let first = comptime!(number * shape.rows);
                        let tile = tile_at(place, shape);
                        correlate(&map, weights, inner, &tile, &mut products, first, shape);
                    }
                }
            } else {
                #[unroll]
                for number in 0..comptime!(shape.tiles_per_thread()) {
                    let place = UNIT_POS as usize + comptime!(number * shape.threads);
                    if place < comptime!(shape.tiles()) {
                        let first = comptime!(number * shape.rows);
                        let tile = tile_at(place, shape);
                        read(&*gradient, target, scale, &tile, &mut products, first, shape);
                    }
                }
            }
            // σ(Mx + b), and the gradient with respect to Mx + b.
            #[unroll]
            for number in 0..comptime!(shape.tiles_per_thread()) {
                let place = UNIT_POS as usize + comptime!(number * shape.threads);
                if place < comptime!(shape.tiles()) {
                    let first = comptime!(number * shape.rows);
                    let tile = tile_at(place, shape);
                    #[unroll]
                    for row in 0..shape.rows {
                        let before = sums[comptime!(first + row)];
                        let value = activated(before, shape.activation);
                        products[comptime!(first + row)] *=
                            derivative(before, value, shape.activation);
                        sums[comptime!(first + row)] = value;
                    }
                    if comptime!(shape.form == Form::Symmetric) {
                        put(scratch, values, &tile, &sums, first, shape);
                    }
                    put(scratch, deltas, &tile, &products, first, shape);
                }
            }
            wait(shape);

            if comptime!(shape.form == Form::Symmetric) {
                add_kernel_gradient(&mut map, &*scratch, values, partial, slot, fresh, shape);
                load_argument(&mut map, &*state, source, input_biases, shift, shape);
                wait(shape);
                add_kernel_gradient(&mut map, &*scratch, deltas, partial, slot, false, shape);
                // F(x).
                load(&mut map, &*scratch, values, 1.0, shape);
                wait(shape);
                #[unroll]
                for number in 0..comptime!(shape.tiles_per_thread()) {
                    let place = UNIT_POS as usize + comptime!(number * shape.threads);
                    if place < comptime!(shape.tiles()) {
                        let first = comptime!(number * shape.rows);
                        #[unroll]
                        for row in 0..shape.rows {
                            sums[comptime!(first + row)] = Four::new(0.0);
                        }
                        let tile = tile_at(place, shape);
                        correlate(&map, weights, outer, &tile, &mut sums, first, shape);
                    }
                }
                wait(shape);
            } else {
                add_kernel_gradient(&mut map, &*scratch, deltas, partial, slot, fresh, shape);
            }
            add_channel_sums(&mut map, &*scratch, deltas, partial, bias_slot, fresh, shape);
            // The gradient with respect to x.
            load(&mut map, &*scratch, deltas, 1.0, shape);
            wait(shape);
            #[unroll]
            for number in 0..comptime!(shape.tiles_per_thread()) {
                let place = UNIT_POS as usize + comptime!(number * shape.threads);
                if place < comptime!(shape.tiles()) {
                    let first = comptime!(number * shape.rows);
                    #[unroll]
                    for row in 0..shape.rows {
                        products[comptime!(first + row)] = Four::new(0.0);
                    }
                    let tile = tile_at(place, shape);
                    correlate(&map, weights, outer, &tile, &mut products, first, shape);
                    let undone = select(comptime!(shape.extrapolated), scale, -scale);
                    update(state, source, target, undone, &tile, &sums, first, shape);
                    carry(gradient, source, target, &tile, &products, first, shape);
                    if comptime!(shape.input_bias) {
                        put(scratch, values, &tile, &products, first, shape);
                    }
                }
            }
            wait(shape);
            if comptime!(shape.input_bias) {
                let slot = bias_slot + comptime!(shape.channels);
                add_channel_sums(&mut map, &*scratch, values, partial, slot, fresh, shape);
            }
            image += CUBE_COUNT;
        }
    }
}

/// σ′(x), from x and σ(x).
#[cube]
fn derivative(x: Four, value: Four, #[comptime] activation: Activation) -> Four {
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

/// Reads a tile of a stream, times `scale`.
#[cube]
fn read(
    from: &[f32],
    stream: usize,
    scale: f32,
    tile: &Tile,
    sums: &mut Array<Four>,
    #[comptime] first: usize,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for row in 0..shape.rows {
        if tile.row + row < shape.height {
            let mut found = Four::new(0.0);
            #[unroll]
            for output in 0..4usize {
                let channel = (tile.group * 4 + output) * comptime!(shape.height * shape.width);
                let place = channel + (tile.row + row) * shape.width + tile.column;
                found.insert(output, scale * from[stream + place]);
            }
            sums[comptime!(first + row)] = found;
        }
    }
}

/// Writes a tile to a stream.
#[cube]
fn put(
    into: &mut [f32],
    stream: usize,
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
                into[stream + place] = sum.extract(output);
            }
        }
    }
}

/// Carries the gradient with respect to the state back over an evaluation: with X⁺ = X′ + scale·F(X), G += Jᵀv; with
/// X⁺ = 2X − X′ + scale·F(X), G += 2G⁺ + Jᵀv and G′ = −G⁺. The products are Jᵀv.
#[cube]
fn carry(
    gradient: &mut [f32],
    source: usize,
    target: usize,
    tile: &Tile,
    products: &Array<Four>,
    #[comptime] first: usize,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for row in 0..shape.rows {
        if tile.row + row < shape.height {
            let product = products[comptime!(first + row)];
            #[unroll]
            for output in 0..4usize {
                let channel = (tile.group * 4 + output) * comptime!(shape.height * shape.width);
                let place = channel + (tile.row + row) * shape.width + tile.column;
                let own = gradient[source + place] + product.extract(output);
                if comptime!(shape.extrapolated) {
                    let other = gradient[target + place];
                    gradient[source + place] = fma(2.0, other, own);
                    gradient[target + place] = -other;
                } else {
                    gradient[source + place] = own;
                }
            }
        }
    }
}
