//! Where the arrays of a convolution lie while it is computed.

use super::shape::ConvolutionKernel;
use crate::error::Error;
use crate::layout::{CHANNEL_BLOCK, Layout};

/// The layouts of a convolution; channels are those of one group.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub shape: ConvolutionKernel,
    /// The input with its padding.
    pub x: Layout,
    /// The input without padding.
    pub x_plain: Layout,
    /// The output.
    pub y: Layout,
    /// The output with as much padding as its correlation with the kernel reaches.
    pub y_padded: Layout,
    /// Padding above and left of `y_padded`.
    pub reach: [usize; 2],
}

impl Plan {
    /// For a convolution whose output has `output` rows and columns.
    pub fn new(shape: ConvolutionKernel, output: [usize; 2]) -> Self {
        let padded = |channels: usize, size: [usize; 2], before: [usize; 2], total: [usize; 2]| {
            let depth = channels.next_multiple_of(CHANNEL_BLOCK);
            let row = total[1] * depth;
            Layout {
                channels,
                depth,
                height: size[0],
                width: size[1],
                row,
                origin: before[0] * row + before[1] * depth,
                image: total[0] * row,
            }
        };
        let ConvolutionKernel { size, padding, kernel, stride, groups, .. } = shape;
        let (inputs, outputs) = (shape.inputs / groups, shape.outputs / groups);
        let around = [0, 1].map(|axis| size[axis] + 2 * padding[axis]);
        // For the adjoint: how far the taps of a pixel reach up and left, and down and right.
        let reach = [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]) - 1);
        let last = |axis: usize| (padding[axis] + size[axis].max(1) - 1) / stride[axis];
        let extent = [0, 1].map(|axis| reach[axis] + output[axis].max(last(axis) + 1));
        Self {
            shape,
            x: padded(inputs, size, padding, around),
            x_plain: padded(inputs, size, [0, 0], size),
            y: padded(outputs, output, [0, 0], output),
            y_padded: padded(outputs, output, reach, extent),
            reach,
        }
    }

    pub fn groups(&self) -> std::ops::Range<usize> {
        0..self.shape.groups
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.shape.kernel[0] * self.shape.kernel[1]
    }

    /// Numbers of one image of x, of all groups.
    pub fn x_image(&self) -> usize {
        self.shape.inputs * self.x.height * self.x.width
    }

    /// Numbers of one image of y, of all groups.
    pub fn y_image(&self) -> usize {
        self.shape.outputs * self.y.height * self.y.width
    }

    /// Images of a chunk: as many as fit into half of a core's second-level cache. It depends on the shape
    /// alone.
    pub fn chunk_images(&self) -> usize {
        let floats = (self.x.image + self.y_padded.image).max(1);
        (128 * 1024 / floats).clamp(1, self.shape.images.max(1))
    }

    /// Where w\[output\]\[input\]\[row\]\[column\] of a group lies; channels are counted within the group.
    pub fn weight_index(&self, group: usize) -> impl Fn(usize, usize, usize, usize) -> usize {
        let [rows, columns] = self.shape.kernel;
        let (inputs, outputs) = (self.x.channels, self.y.channels);
        move |output, input, row, column| {
            (((group * outputs + output) * inputs + input) * rows + row) * columns + column
        }
    }

    /// Copies a group's weight gradient from `[kernel row][kernel column][input][output]`, with padding.
    pub fn unpack(&self, taps: &[f32], weight: &mut [f32]) {
        let index = self.weight_index(0);
        let (x, y, columns) = (self.x, self.y, self.shape.kernel[1]);
        for (tap, inputs) in taps.chunks_exact(x.depth * y.depth).take(self.taps()).enumerate() {
            for (input, outputs) in inputs.chunks_exact(y.depth).take(x.channels).enumerate() {
                for (output, value) in outputs.iter().take(y.channels).enumerate() {
                    weight[index(output, input, tap / columns, tap % columns)] = *value;
                }
            }
        }
    }

    /// Checks the lengths of arrays.
    pub fn check(
        &self,
        x: usize,
        weight: usize,
        bias: Option<usize>,
        y: usize,
    ) -> Result<(), Error> {
        let ConvolutionKernel { images, outputs, .. } = self.shape;
        Error::check_len("the input x of a convolution", images * self.x_image(), x)?;
        Error::check_len("the output y of a convolution", images * self.y_image(), y)?;
        let weights = outputs * self.x.channels * self.taps();
        Error::check_len("the weight of a convolution", weights, weight)?;
        Error::check_len("the bias of a convolution", outputs, bias.unwrap_or(outputs))
    }
}
