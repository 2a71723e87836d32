//! The gradient with respect to a kernel: sums over pixels of products of inputs and outputs.

use super::map::{clear, wait};
use super::shape::UnitShape;
use super::tile::Four;
use cubecl::prelude::*;
use cubecl::{self};

/// The gradient of ⟨d, Mx⟩ with respect to the array of M: for every output, input and tap the sum over the
/// pixels of d times x. x is the map; d is the stream of `outputs` that begins at `first`.
///
/// The sums, `[outputs][inputs][taps]`, are put to the array of `into` that begins at `slot`, or added to it where
/// it is not `fresh`.
///
/// A part is the sums of four outputs, one input and all taps. Several threads may share a part, each with some of
/// the rows; their sums are added in a fixed order, on the [bench](put). A map of f32 is empty afterwards.
#[cube]
pub(super) fn add_kernel_gradient<M: Float>(
    map: &mut [M],
    bench: &mut [f32],
    outputs: &[f32],
    first: usize,
    into: &mut [f32],
    slot: usize,
    fresh: bool,
    #[comptime] shape: UnitShape,
) {
    let parts = comptime!(shape.parts());
    let shares = comptime!(shape.shares);
    #[unroll]
    for round in 0..comptime!(shape.parts_per_thread()) {
        let place = UNIT_POS as usize + comptime!(round * shape.threads);
        let (share, part) = (place / parts, place % parts);
        let active = place < comptime!(shares * parts);
        let mut sums = Array::<Four>::new(9usize);
        #[unroll]
        for tap in 0..9usize {
            sums[tap] = Four::new(0.0);
        }
        if active {
            add_products::<M>(&*map, outputs, first, part, share, &mut sums, shape);
        }
        if comptime!(shares > 1) {
            // The sums of the upper half of the shares, halved until one is left.
            wait(shape);
            #[unroll]
            for level in 0..comptime!(shares.ilog2() as usize) {
                let half = comptime!(shares >> (level + 1));
                let width = comptime!(half * parts);
                if active && share >= half && share < comptime!(2 * half) {
                    #[unroll]
                    for number in 0..36usize {
                        let place = comptime!(number * width) + (share - half) * parts + part;
                        let sum = sums[comptime!(number / 4)].extract(comptime!(number % 4));
                        put::<M>(map, bench, place, sum, shape);
                    }
                }
                wait(shape);
                if active && share < half {
                    #[unroll]
                    for tap in 0..9usize {
                        let mut other = Four::new(0.0);
                        #[unroll]
                        for output in 0..4usize {
                            let number = comptime!(4 * tap + output);
                            let from = comptime!(number * width) + share * parts + part;
                            other.insert(output, taken::<M>(&*map, &*bench, from, shape));
                        }
                        sums[tap] += other;
                    }
                }
                wait(shape);
            }
        }
        if active && share == 0 {
            write(into, slot, part, fresh, &sums, shape);
        }
    }
    if comptime!(shares > 1 && !shape.has_bench()) {
        clear::<M>(map, shape);
    }
    wait(shape);
}

/// Puts a sum on the bench, where the threads of a cube add up sums. A map of f32 is a bench; others are too coarse,
/// and have one beside them.
#[cube]
fn put<M: Float>(
    map: &mut [M],
    bench: &mut [f32],
    place: usize,
    sum: f32,
    #[comptime] shape: UnitShape,
) {
    if comptime!(shape.has_bench()) {
        bench[place] = sum;
    } else {
        map[place] = M::cast_from(sum);
    }
}

/// What has been [`put`] at a place.
#[cube]
fn taken<M: Float>(map: &[M], bench: &[f32], place: usize, #[comptime] shape: UnitShape) -> f32 {
    if comptime!(shape.has_bench()) { bench[place] } else { f32::cast_from(map[place]) }
}

/// The sums of one share of a part over its rows.
#[cube]
fn add_products<M: Float>(
    map: &[M],
    outputs: &[f32],
    first: usize,
    part: usize,
    share: usize,
    sums: &mut Array<Four>,
    #[comptime] shape: UnitShape,
) {
    let (group, input) = (part / shape.channels, part % shape.channels);
    let area = comptime!(shape.height * shape.width);
    let rows = comptime!(shape.height.div_ceil(shape.shares));
    let from = share * rows;
    let to = min(from + rows, shape.height);
    for row in from..to {
        let corner = input * comptime!(shape.plane()) + row * comptime!(shape.pitch());
        let mut window = Array::<f32>::new(9usize);
        #[unroll]
        for line in 0..3usize {
            let from = corner + comptime!(line * shape.pitch());
            window[comptime!(3 * line)] = f32::cast_from(map[from]);
            window[comptime!(3 * line + 1)] = f32::cast_from(map[from + 1]);
        }
        for column in 0..shape.width {
            let mut output = Four::new(0.0);
            #[unroll]
            for number in 0..4usize {
                let channel = first + (group * 4 + number) * area;
                output.insert(number, outputs[channel + row * shape.width + column]);
            }
            #[unroll]
            for line in 0..3usize {
                let from = corner + column + comptime!(line * shape.pitch() + 2);
                window[comptime!(3 * line + 2)] = f32::cast_from(map[from]);
            }
            #[unroll]
            for tap in 0..9usize {
                sums[tap] = fma(output, Four::new(window[tap]), sums[tap]);
            }
            #[unroll]
            for line in 0..3usize {
                window[comptime!(3 * line)] = window[comptime!(3 * line + 1)];
                window[comptime!(3 * line + 1)] = window[comptime!(3 * line + 2)];
            }
        }
    }
}

/// Puts or adds the sums of a part to where they belong.
#[cube]
fn write(
    into: &mut [f32],
    slot: usize,
    part: usize,
    fresh: bool,
    sums: &Array<Four>,
    #[comptime] shape: UnitShape,
) {
    let (group, input) = (part / shape.channels, part % shape.channels);
    #[unroll]
    for output in 0..4usize {
        let kernel = slot + ((group * 4 + output) * shape.channels + input) * 9;
        #[unroll]
        for tap in 0..9usize {
            let before = select(fresh, 0.0f32, into[kernel + tap]);
            into[kernel + tap] = before + sums[tap].extract(output);
        }
    }
}

/// For every channel the sum over the pixels of the stream of `from` that begins at `first`, put to or added to
/// `into`, from `slot` on. The map must not be in use; one of f32 is empty afterwards.
#[cube]
pub(super) fn add_channel_sums<M: Float>(
    map: &mut [M],
    bench: &mut [f32],
    from: &[f32],
    first: usize,
    into: &mut [f32],
    slot: usize,
    fresh: bool,
    #[comptime] shape: UnitShape,
) {
    let area = comptime!(shape.height * shape.width);
    let summers = comptime!(shape.summers());
    let mut place = UNIT_POS as usize;
    while place < comptime!(summers * shape.channels) {
        let (channel, own) = (place / summers, place % summers);
        let mut sum = 0.0f32;
        let mut pixel = own;
        while pixel < area {
            sum += from[first + channel * area + pixel];
            pixel += summers;
        }
        put::<M>(map, bench, place, sum, shape);
        place += comptime!(shape.threads);
    }
    wait(shape);
    let mut channel = UNIT_POS as usize;
    while channel < comptime!(shape.channels) {
        let mut sum = select(fresh, 0.0f32, into[slot + channel]);
        for own in 0..summers {
            sum += taken::<M>(&*map, &*bench, channel * summers + own, shape);
        }
        into[slot + channel] = sum;
        channel += comptime!(shape.threads);
    }
    wait(shape);
    if comptime!(!shape.has_bench()) {
        clear::<M>(map, shape);
        wait(shape);
    }
}
