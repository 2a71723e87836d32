//! The configuration of a convolution.

use crate::pass::{Pass, Phase};
use burn::config::Config;
use burn::tensor::Tensor;
use palinode_kernels::Algorithm;
use palinode_kernels::convolution::ConvolutionKernel;

/// Stride, padding and groups of a 2-D convolution.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub struct ConvolutionConfig {
    /// Vertical and horizontal stride.
    #[config(default = "[1, 1]")]
    pub stride: [usize; 2],
    /// Zero padding: rows above and below, columns left and right.
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
    /// Number of groups that the channels are split into.
    #[config(default = "1")]
    pub groups: usize,
    /// Whether training uses direct sums, as inference always does. Otherwise training may use
    /// Winograd's algorithm, which is two to three times as fast and slightly less exact.
    #[config(default = false)]
    pub exact: bool,
}

impl ConvolutionConfig {
    /// Whether Winograd's algorithm may be used: in training, unless `exact` is set.
    pub(super) fn quick(self, training: bool) -> bool {
        training && !self.exact
    }

    pub(super) fn quick_in(self, pass: &Pass) -> bool {
        self.quick(pass.phase() != Phase::Inference)
    }

    /// The kernel for images of `size` and `weight`; `None` if their shapes do not match.
    pub(super) fn kernel(
        self,
        [images, inputs]: [usize; 2],
        size: [usize; 2],
        weight: &Tensor<4>,
        quick: bool,
    ) -> Option<ConvolutionKernel> {
        let [outputs, per_group, rows, columns] = weight.dims();
        let Self { stride, padding, groups, .. } = self;
        let kernel = [rows, columns];
        let algorithm = if quick { Algorithm::quickest(size) } else { Algorithm::Direct };
        let shape = ConvolutionKernel {
            images,
            inputs,
            outputs,
            size,
            kernel,
            stride,
            padding,
            groups,
            algorithm,
        };
        (per_group * groups == inputs && shape.output_size().is_ok()).then_some(shape)
    }
}
