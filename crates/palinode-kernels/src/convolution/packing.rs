//! Weights in the order in which a correlation reads them, and gradients on their way back.

use super::Plan;
use crate::aligned::Aligned;
use crate::register::packed;
use std::ops::Range;

/// A stretch of floats of the input that is multiplied by as many rows of the weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// From the first pixel's place.
    pub offset: usize,
    pub terms: usize,
}

/// One correlation: a grid of results, each a sum over the same runs.
pub(crate) struct Pass {
    pub runs: Vec<Run>,
    /// A packed matrix `[all runs' terms][depth]`.
    pub weights: Aligned,
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
}

/// A kernel's tap and the place it reads.
struct Tap {
    offset: usize,
    row: usize,
    column: usize,
}

impl Plan {
    /// y from x.
    pub fn forward_pass(&self, group: usize, weight: &[f32]) -> Pass {
        let (x, y) = (self.x, self.y);
        let [kernel_rows, kernel_columns] = self.shape.kernel;
        let taps = (0..kernel_rows).flat_map(|row| {
            (0..kernel_columns).map(move |column| Tap {
                offset: row * x.row + column * x.depth,
                row,
                column,
            })
        });
        let index = self.weight_index(group);
        self.pass(
            &taps.collect::<Vec<_>>(),
            (x.channels, x.depth),
            (y.channels, y.depth),
            |tap, input, output| weight[index(output, input, tap.row, tap.column)],
        )
        .on([y.height, y.width], [0, self.shape.stride[0] * x.row, self.shape.stride[1] * x.depth])
        .to([0, y.row, y.depth])
    }

    /// x's gradient from y's: at stride s every pixel of x belongs to one of s·s phases, and the taps
    /// of a phase are every s-th of the kernel, in reverse.
    pub fn backward_passes(&self, group: usize, weight: &[f32]) -> Vec<Pass> {
        let (x, y, reach) = (self.x_plain, self.y_padded, self.reach);
        let [stride_rows, stride_columns] = self.shape.stride;
        let index = self.weight_index(group);
        let mut passes = Vec::new();
        for (phase_row, phase_column) in
            (0..stride_rows).flat_map(|row| (0..stride_columns).map(move |column| (row, column)))
        {
            let rows = self.phase(0, phase_row);
            let columns = self.phase(1, phase_column);
            if rows.is_empty() || columns.is_empty() {
                continue;
            }
            let mut taps = Vec::new();
            for back_row in (0..=reach[0]).rev() {
                for back_column in (0..=reach[1]).rev() {
                    let row = phase_row + stride_rows * back_row;
                    let column = phase_column + stride_columns * back_column;
                    if row < self.shape.kernel[0] && column < self.shape.kernel[1] {
                        let (down, right) = (reach[0] - back_row, reach[1] - back_column);
                        taps.push(Tap { offset: down * y.row + right * y.depth, row, column });
                    }
                }
            }
            let first = [
                phase_row + stride_rows * rows.start - self.shape.padding[0],
                phase_column + stride_columns * columns.start - self.shape.padding[1],
            ];
            let pass = self
                .pass(&taps, (y.channels, y.depth), (x.channels, x.depth), |tap, output, input| {
                    weight[index(output, input, tap.row, tap.column)]
                })
                .on(
                    [rows.len(), columns.len()],
                    [rows.start * y.row + columns.start * y.depth, y.row, y.depth],
                )
                .to([
                    first[0] * x.row + first[1] * x.depth,
                    stride_rows * x.row,
                    stride_columns * x.depth,
                ]);
            passes.push(pass);
        }
        passes
    }

    /// The q for which phase + s·q is a pixel of x, counted with its padding.
    fn phase(&self, axis: usize, phase: usize) -> Range<usize> {
        let stride = self.shape.stride[axis];
        let (start, size) = (self.shape.padding[axis], self.shape.size[axis]);
        start.saturating_sub(phase).div_ceil(stride)
            ..(start + size).saturating_sub(phase).div_ceil(stride)
    }

    /// Where w\[output\]\[input\]\[row\]\[column\] lies, channels counted in their group.
    fn weight_index(&self, group: usize) -> impl Fn(usize, usize, usize, usize) -> usize {
        let [rows, columns] = self.shape.kernel;
        let (inputs, outputs) = (self.x.channels, self.y.channels);
        move |output, input, row, column| {
            (((group * outputs + output) * inputs + input) * rows + row) * columns + column
        }
    }

    /// A pass over `taps`, without its grid; neighbouring taps become one run where no padding lies
    /// between them.
    fn pass(
        &self,
        taps: &[Tap],
        (channels, pixel): (usize, usize),
        (results, depth): (usize, usize),
        weight: impl Fn(&Tap, usize, usize) -> f32,
    ) -> Pass {
        let terms = taps.len() * channels;
        let mut weights = Aligned::zeros(terms * depth);
        let mut runs: Vec<Run> = Vec::new();
        for (index, tap) in taps.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if channels == pixel && run.offset + run.terms == tap.offset => {
                    run.terms += channels;
                }
                _ => runs.push(Run { offset: tap.offset, terms: channels }),
            }
            for channel in 0..channels {
                for result in 0..results {
                    let at = packed(terms, depth, index * channels + channel, result);
                    weights[at] = weight(tap, channel, result);
                }
            }
        }
        let (rows, columns) = (0, 0);
        Pass { runs, weights, terms, depth, rows, columns, from: [0; 3], into: [0; 3] }
    }

    /// A group's weight gradient from `[kernel row][kernel column, input][output]` with padding.
    pub fn unpack(&self, points: &[f32], weight: &mut [f32]) {
        let index = self.weight_index(0);
        let (x, y) = (self.x, self.y);
        let [rows, columns] = self.shape.kernel;
        for (tap, points) in points.chunks_exact(x.depth * y.depth).take(rows * columns).enumerate()
        {
            for (input, points) in points.chunks_exact(y.depth).take(x.channels).enumerate() {
                for (output, value) in points.iter().take(y.channels).enumerate() {
                    weight[index(output, input, tap / columns, tap % columns)] = *value;
                }
            }
        }
    }
}

impl Pass {
    fn on(self, [rows, columns]: [usize; 2], from: [usize; 3]) -> Self {
        Self { rows, columns, from, ..self }
    }

    /// Puts the results there: first, from row to row and from column to column.
    pub fn to(self, into: [usize; 3]) -> Self {
        Self { into, ..self }
    }
}

/// A group's bias, padded with zeros; zeros where there is none.
pub(super) fn bias_vector(
    depth: usize,
    channels: usize,
    bias: Option<&[f32]>,
    group: usize,
) -> Aligned {
    let mut padded = Aligned::zeros(depth);
    if let Some(bias) = bias {
        padded[..channels].copy_from_slice(&bias[group * channels..(group + 1) * channels]);
    }
    padded
}
