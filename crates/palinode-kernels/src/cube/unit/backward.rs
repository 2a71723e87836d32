//! All blocks of a unit backward: the state is reconstructed, and the gradients are found on the way.

use super::forward::update_all;
use super::gradient::{add_channel_sums, add_kernel_gradient};
use super::map::{clear, load, load_argument, wait};
use super::shape::UnitShape;
use super::tile::{
    Four, Weights, activated, clear_all, convolve_all, correlate_all, derivative, place_of,
    read_all, spot_of, write_all, zeros,
};
use crate::form::Form;
use cubecl::ir::ElemType;
use cubecl::prelude::*;
use cubecl::{self};

/// Undoes the evaluations `first + count − 1` to `first` of every image, as
/// [`forward_kernel`](super::forward::forward_kernel) made them.
///
/// `state` ends as it was before them, and `gradient`, the gradient with respect to the state, moves with it. Cube
/// g of G takes the images g, g + G, … one after the other. It keeps what its images contribute to the gradients with
/// respect to the parameters in `partial`, `[G][count][kernel and bias]`, and σ(Mx + b) and the gradient with respect
/// to Mx + b in `scratch`, `[G][2][channels][rows][columns]`.
///
/// What the map holds, M times the cotangent included, is of type M; all sums, state and gradients are in f32.
#[cube(launch)]
pub(super) fn backward_kernel<M: Float>(
    state: &mut [f32],
    gradient: &mut [f32],
    scratch: &mut [f32],
    partial: &mut [f32],
    weights: &[Weights<M>],
    biases: &[Four],
    input_biases: &[f32],
    plan: &[u32],
    scales: &[f32],
    images: u32,
    first: u32,
    count: u32,
    residuals: u32,
    #[define(M)] _number: ElemType,
    #[comptime] shape: UnitShape,
) {
    let mut map = Shared::<[M]>::new_slice(comptime!(shape.map_len()));
    let mut bench = Shared::<[f32]>::new_slice(comptime!(shape.bench_len()));
    let cube = CUBE_POS;
    let values = cube * comptime!(2 * shape.stream());
    let deltas = values + comptime!(shape.stream());
    clear::<M>(&mut map, shape);
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
            let mut sums = zeros(shape);
            let mut products = zeros(shape);
            load_argument::<M>(&mut map, &*state, source, input_biases, shift, shape);
            wait(shape);
            convolve_all::<M>(&map, weights, inner, biases, residual, &mut sums, shape);
            // The cotangent of σ(Mx + b): the cotangent of F, or M times it.
            if comptime!(shape.form == Form::Symmetric) {
                wait(shape);
                load::<M>(&mut map, &*gradient, target, scale, shape);
                wait(shape);
                correlate_all::<M>(&map, weights, inner, &mut products, shape);
            } else {
                read_all(&*gradient, target, scale, &mut products, shape);
            }
            // σ(Mx + b), and the gradient with respect to Mx + b.
            #[unroll]
            for number in 0..comptime!(shape.sums()) {
                let before = sums[number];
                let value = activated(before, shape.activation);
                products[number] *= derivative(before, value, shape.activation);
                sums[number] = value;
            }
            if comptime!(shape.form == Form::Symmetric) {
                write_all(scratch, values, &sums, shape);
            }
            write_all(scratch, deltas, &products, shape);
            wait(shape);

            if comptime!(shape.form == Form::Symmetric) {
                add_kernel_gradient::<M>(
                    &mut map, &mut bench, &*scratch, values, partial, slot, fresh, shape,
                );
                load_argument::<M>(&mut map, &*state, source, input_biases, shift, shape);
                wait(shape);
                add_kernel_gradient::<M>(
                    &mut map, &mut bench, &*scratch, deltas, partial, slot, false, shape,
                );
                // F(x).
                load::<M>(&mut map, &*scratch, values, 1.0, shape);
                wait(shape);
                clear_all(&mut sums, shape);
                correlate_all::<M>(&map, weights, outer, &mut sums, shape);
                wait(shape);
            } else {
                add_kernel_gradient::<M>(
                    &mut map, &mut bench, &*scratch, deltas, partial, slot, fresh, shape,
                );
            }
            add_channel_sums::<M>(
                &mut map, &mut bench, &*scratch, deltas, partial, bias_slot, fresh, shape,
            );
            // The gradient with respect to x.
            load::<M>(&mut map, &*scratch, deltas, 1.0, shape);
            wait(shape);
            clear_all(&mut products, shape);
            correlate_all::<M>(&map, weights, outer, &mut products, shape);
            let undone = select(comptime!(shape.extrapolated), scale, -scale);
            update_all(state, source, target, undone, &sums, shape);
            carry_all(gradient, source, target, &products, shape);
            if comptime!(shape.input_bias) {
                write_all(scratch, values, &products, shape);
            }
            wait(shape);
            if comptime!(shape.input_bias) {
                let slot = bias_slot + comptime!(shape.channels);
                add_channel_sums::<M>(
                    &mut map, &mut bench, &*scratch, values, partial, slot, fresh, shape,
                );
            }
            image += CUBE_COUNT;
        }
    }
}

/// Carries the gradient with respect to the state back over an evaluation: with X⁺ = X′ + scale·F(X), G += Jᵀv; with
/// X⁺ = 2X − X′ + scale·F(X), G += 2G⁺ + Jᵀv and G′ = −G⁺. The products are Jᵀv.
#[cube]
fn carry_all(
    gradient: &mut [f32],
    source: usize,
    target: usize,
    products: &Array<Four>,
    #[comptime] shape: UnitShape,
) {
    #[unroll]
    for number in 0..comptime!(shape.sums()) {
        let spot = spot_of(number, shape);
        if spot.inside {
            #[unroll]
            for output in 0..4usize {
                let place = place_of(&spot, output, shape);
                let own = gradient[source + place] + products[number].extract(output);
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
