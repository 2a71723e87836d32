//! Extents of states.

use crate::algorithm::Algorithm;
use crate::convolution::ConvolutionKernel;

/// The extent of one part of a state, row-major `[batch, channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Elements of one part of a state.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.height * self.width
    }

    /// The shape of a residual's K: 3×3, stride 1, zero padding 1, as many outputs as inputs.
    pub fn convolution(&self) -> ConvolutionKernel {
        ConvolutionKernel {
            images: self.batch,
            inputs: self.channels,
            outputs: self.channels,
            size: [self.height, self.width],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            groups: 1,
            algorithm: Algorithm::Direct,
        }
    }

    /// Whether a part of a state has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of a kernel K, `[channels, channels, 3, 3]`.
    pub fn kernel_len(&self) -> usize {
        self.channels * self.channels * 9
    }
}
