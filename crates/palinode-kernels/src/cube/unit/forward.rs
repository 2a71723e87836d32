//! All blocks of a unit forward, one image in each cube.

use super::map::{clear, load_argument, wait};
use super::shape::UnitShape;
use super::tile::{
    Four, Weights, activate_all, clear_all, convolve_all, correlate_all, place_of, spot_of,
    store_all, zeros,
};
use crate::form::Form;
use cubecl::ir::ElemType;
use cubecl::prelude::*;
use cubecl::{self};

/// Takes the state of every image through `evaluations` evaluations of residuals.
///
/// `state` is `[images][2 streams][channels][rows][columns]`. Evaluation e reads stream 1 − e mod 2 and changes
/// the other one: it adds scale·F. `weights` holds for each residual the array of the convolution before σ and,
/// behind those of all residuals, of its adjoint. `plan` names the arrays of each evaluation: its residual, and
/// with which of the two it begins.
///
/// Weights, x and σ(Mx + b) are of type M; all sums, and the state, are in f32.
#[cube(launch)]
pub(super) fn forward_kernel<M: Float>(
    state: &mut [f32],
    weights: &[Weights<M>],
    biases: &[Four],
    input_biases: &[f32],
    plan: &[u32],
    scales: &[f32],
    images: u32,
    evaluations: u32,
    residuals: u32,
    #[define(M)] _number: ElemType,
    #[comptime] shape: UnitShape,
) {
    // The last row of cubes may have more than there are images.
    if CUBE_POS >= images as usize {
        terminate!();
    }
    let mut map = Shared::<[M]>::new_slice(comptime!(shape.map_len()));
    let image = CUBE_POS * comptime!(2 * shape.stream());
    clear::<M>(&mut map, shape);
    if comptime!(shape.grid.is_some()) {
        let mut place = UNIT_POS as usize;
        while place < comptime!(2 * shape.stream()) {
            state[image + place] = rounded(state[image + place], shape);
            place += comptime!(shape.threads);
        }
    }
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

        let mut sums = zeros(shape);
        load_argument::<M>(&mut map, &*state, source, input_biases, shift, shape);
        wait(shape);
        convolve_all::<M>(&map, weights, inner, biases, residual, &mut sums, shape);
        activate_all(&mut sums, shape);
        if comptime!(shape.form == Form::Symmetric) {
            wait(shape);
            store_all::<M>(&mut map, &sums, shape);
            clear_all(&mut sums, shape);
            wait(shape);
            correlate_all::<M>(&map, weights, outer, &mut sums, shape);
        }
        update_all(state, source, target, scales[evaluation], &sums, shape);
        wait(shape);
    }
}

/// Adds scale·F, which the sums are, to the stream `target`: X⁺ = X′ + scale·F(X) or X⁺ = X + ((X − X′) + scale·F(X)),
/// where X is the stream `source`. The second is its own inverse; the first is undone with −scale.
#[cube]
pub(super) fn update_all(
    state: &mut [f32],
    source: usize,
    target: usize,
    scale: f32,
    sums: &Array<Four>,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        let spot = spot_of(number, shape);
        if spot.inside {
            #[unroll]
            for output in 0..4usize {
                let place = place_of(&spot, output, shape);
                let before = state[target + place];
                let value = sums[number].extract(output);
                if comptime!(shape.extrapolated) {
                    let current = state[source + place];
                    let moved = incremented(current - before, scale, value, shape);
                    state[target + place] = current + moved;
                } else {
                    state[target + place] = incremented(before, scale, value, shape);
                }
            }
        }
    }
}

/// x + s·f, with s·f rounded to the grid if there is one.
#[cube]
fn incremented(x: f32, scale: f32, f: f32, #[comptime] shape: UnitShape) -> f32 {
    if comptime!(shape.grid.is_some()) { x + rounded(scale * f, shape) } else { fma(scale, f, x) }
}

/// x rounded to the grid.
#[cube]
fn rounded(x: f32, #[comptime] shape: UnitShape) -> f32 {
    let spacing = comptime!(shape.grid.map_or(1.0, |grid| grid.spacing()));
    // Both factors are powers of two, and the products exact.
    (x * comptime!(1.0 / spacing)).round() * spacing
}
