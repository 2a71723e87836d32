//! Correlations, and their weights in the order in which they are read.

use super::plan::Plan;
use crate::register::packed;
use std::ops::Range;

/// A stretch of floats of the input that is multiplied by as many rows of the weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// From the place of the first pixel.
    pub offset: usize,
    pub terms: usize,
}

/// One tap of the kernel and the place that it reads.
#[derive(Clone, Copy)]
struct Tap {
    offset: usize,
    row: usize,
    column: usize,
}

/// One correlation: a grid of results, each of which is a sum over the same runs.
pub(crate) struct Pass {
    pub runs: Vec<Run>,
    pub terms: usize,
    /// Channels of the results, a multiple of 16.
    pub depth: usize,
    /// Results in an image.
    pub rows: usize,
    pub columns: usize,
    /// Floats of the input to the first result, from row to row and from column to column.
    pub from: [usize; 3],
    /// The same of the output.
    pub into: [usize; 3],
    taps: Vec<Tap>,
    /// Channels that are read.
    channels: usize,
    /// Channels of the results without padding.
    results: usize,
    /// Whether it reads y and its results are x's.
    is_adjoint: bool,
}

impl Pass {
    /// y from x.
    pub fn forward(plan: &Plan) -> Self {
        let (x, y, stride) = (plan.x, plan.y, plan.shape.stride);
        let [rows, columns] = plan.shape.kernel;
        let taps = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let taps =
            taps.map(|(row, column)| Tap { offset: row * x.row + column * x.depth, row, column });
        let taps: Vec<Tap> = taps.collect();
        Self {
            runs: runs(&taps, x.channels, x.depth),
            terms: taps.len() * x.channels,
            depth: y.depth,
            rows: y.height,
            columns: y.width,
            from: [0, stride[0] * x.row, stride[1] * x.depth],
            into: [0, y.row, y.depth],
            taps,
            channels: x.channels,
            results: y.channels,
            is_adjoint: false,
        }
    }

    /// The same with its results elsewhere: the first, and floats from row to row and from column to
    /// column.
    pub fn to(self, into: [usize; 3]) -> Self {
        Self { into, ..self }
    }

    /// The gradient with respect to x from the one with respect to y. At stride s every pixel of x belongs
    /// to one of s·s phases, and the taps of a phase are every s-th of the kernel, in reverse.
    pub fn adjoint(plan: &Plan) -> Vec<Self> {
        let [rows, columns] = plan.shape.stride;
        let phases = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
        phases.filter_map(|phase| Self::adjoint_phase(plan, phase)).collect()
    }

    /// One phase, if it has any pixel.
    fn adjoint_phase(plan: &Plan, phase: [usize; 2]) -> Option<Self> {
        let (x, y, reach) = (plan.x_plain, plan.y_padded, plan.reach);
        let (kernel, stride, padding) = (plan.shape.kernel, plan.shape.stride, plan.shape.padding);
        let [rows, columns] = [0, 1].map(|axis| pixels(plan, axis, phase[axis]));
        if rows.is_empty() || columns.is_empty() {
            return None;
        }
        let mut taps = Vec::new();
        for back_row in (0..=reach[0]).rev() {
            for back_column in (0..=reach[1]).rev() {
                let row = phase[0] + stride[0] * back_row;
                let column = phase[1] + stride[1] * back_column;
                if row < kernel[0] && column < kernel[1] {
                    let (down, right) = (reach[0] - back_row, reach[1] - back_column);
                    taps.push(Tap { offset: down * y.row + right * y.depth, row, column });
                }
            }
        }
        let first_row = phase[0] + stride[0] * rows.start - padding[0];
        let first_column = phase[1] + stride[1] * columns.start - padding[1];
        Some(Self {
            runs: runs(&taps, y.channels, y.depth),
            terms: taps.len() * y.channels,
            depth: x.depth,
            rows: rows.len(),
            columns: columns.len(),
            from: [rows.start * y.row + columns.start * y.depth, y.row, y.depth],
            into: [
                first_row * x.row + first_column * x.depth,
                stride[0] * x.row,
                stride[1] * x.depth,
            ],
            taps,
            channels: y.channels,
            results: x.channels,
            is_adjoint: true,
        })
    }

    /// Elements of the packed weights, a matrix `[terms][depth]`.
    pub fn weights_len(&self) -> usize {
        self.terms * self.depth
    }

    /// Packs a group's weights. The padding of the depth stays as it is; it has to be zero.
    pub fn pack(&self, plan: &Plan, group: usize, weight: &[f32], packed_weights: &mut [f32]) {
        let index = plan.weight_index(group);
        for (number, tap) in self.taps.iter().enumerate() {
            for channel in 0..self.channels {
                for result in 0..self.results {
                    let (output, input) =
                        if self.is_adjoint { (channel, result) } else { (result, channel) };
                    let term = number * self.channels + channel;
                    packed_weights[packed(self.terms, self.depth, term, result)] =
                        weight[index(output, input, tap.row, tap.column)];
                }
            }
        }
    }
}

/// The runs of some taps on images of `channels` channels in pixels of `pixel` floats. Neighbouring taps
/// become one run if there is no padding between them.
fn runs(taps: &[Tap], channels: usize, pixel: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for tap in taps {
        match runs.last_mut() {
            Some(run) if channels == pixel && run.offset + run.terms == tap.offset => {
                run.terms += channels;
            }
            _ => runs.push(Run { offset: tap.offset, terms: channels }),
        }
    }
    runs
}

/// The q for which phase + s·q is a pixel of x, counted with its padding.
fn pixels(plan: &Plan, axis: usize, phase: usize) -> Range<usize> {
    let stride = plan.shape.stride[axis];
    let (start, size) = (plan.shape.padding[axis], plan.shape.size[axis]);
    start.saturating_sub(phase).div_ceil(stride)
        ..(start + size).saturating_sub(phase).div_ceil(stride)
}
