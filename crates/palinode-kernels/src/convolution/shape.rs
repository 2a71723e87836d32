//! What a convolution is.

use crate::algorithm::Algorithm;
use crate::error::Error;

/// A 2-D convolution with zero padding, in `groups` independent groups of channels:
/// y\[n\]\[o\]\[p\] = b\[o\] + Σ w\[o\]\[i\]\[k\]·x\[n\]\[i\]\[s·p + k − padding\].
///
/// | | |
/// |---|---|
/// | x | `[images, inputs, height, width]`, row-major as all arrays |
/// | w | `[outputs, inputs/groups, kh, kw]` |
/// | b | `[outputs]` |
/// | y | `[images, outputs, height′, width′]`, see [`output_size`](Self::output_size) |
/// | [`value`](Self::value) | y from x |
/// | [`adjoint`](Self::adjoint) | the gradient with respect to x, from the gradient with respect to y |
/// | [`weight_gradient`](Self::weight_gradient) | the gradients with respect to w and b |
/// | accuracy | f32; relative to the largest value, direct sums are off by about 1e-6; for the others see [`Algorithm`] |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionKernel {
    /// Images n.
    pub images: usize,
    /// Channels of x.
    pub inputs: usize,
    /// Channels of y.
    pub outputs: usize,
    /// Rows and columns of x.
    pub size: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Stride s, down and across.
    pub stride: [usize; 2],
    /// Rows of zeros above and below x, and columns of zeros left and right of it.
    pub padding: [usize; 2],
    /// Groups that inputs and outputs are split into.
    pub groups: usize,
    /// How it is computed. The Winograd algorithms are for 3×3 kernels at stride 1 with padding 1, as many
    /// outputs as inputs and one group; every other convolution is computed directly.
    pub algorithm: Algorithm,
}

impl ConvolutionKernel {
    /// Rows and columns of y.
    ///
    /// # Errors
    /// [`Error::Groups`], [`Error::EmptyImage`], [`Error::EmptyKernel`] or [`Error::LargeKernel`] if no
    /// convolution has this shape.
    pub fn output_size(&self) -> Result<[usize; 2], Error> {
        let Self { inputs, outputs, size, kernel, stride, padding, groups, .. } = *self;
        for (what, channels) in [("input", inputs), ("output", outputs)] {
            if channels == 0 || groups == 0 || !channels.is_multiple_of(groups) {
                return Err(Error::Groups { what, channels, groups });
            }
        }
        if size.contains(&0) {
            return Err(Error::EmptyImage { size });
        }
        if kernel.contains(&0) || stride.contains(&0) {
            return Err(Error::EmptyKernel { kernel, stride });
        }
        let mut output = [0; 2];
        for axis in 0..2 {
            let padded = size[axis] + 2 * padding[axis];
            let Some(room) = padded.checked_sub(kernel[axis]) else {
                return Err(Error::LargeKernel { kernel, size, padding });
            };
            output[axis] = room / stride[axis] + 1;
        }
        Ok(output)
    }
}
