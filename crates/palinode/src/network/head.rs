//! The head: from the last feature maps to the logits.

use super::config::{Layout, NetworkConfig};
use crate::autodiff::on_kernels;
use crate::convolution::{ConvolutionConfig, convolve};
use crate::dropout::Dropout;
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

/// Average pool, dropout and fully connected layer: `[n, C, h, w]` → `[n, classes]`, where C is the
/// width of the last unit.
///
/// Layout `report` pools to 2×2 and flattens in (channel, row, column) order: 4C features. Layout
/// `paper` pools globally: C features.
///
/// Parameters: `weight` `[classes, features]`, `bias` `[classes]`.
#[derive(Module, Debug)]
pub struct Head {
    /// `[classes, features]`.
    pub weight: Param<Tensor<2>>,
    /// `[classes]`.
    pub bias: Param<Tensor<1>>,
    /// Dropout on the features.
    pub dropout: Dropout,
    #[module(skip)]
    layout: Layout,
}

impl Head {
    /// A head with weights uniform in ±1/√features and zero bias.
    pub fn new(config: &NetworkConfig, generator: &mut Generator, device: &Device) -> Self {
        let (features, classes) = (config.features(), config.classes);
        let bound = 1.0 / (features as f64).sqrt();
        let weight = generator.uniform([classes, features], bound, device);
        Self {
            weight: Param::from_tensor(weight),
            bias: Param::from_tensor(Tensor::zeros([classes], device)),
            dropout: Dropout::new(config.dropout),
            layout: config.layout,
        }
    }

    /// The logits `[n, classes]` of the last feature maps `[n, C, h, w]`.
    ///
    /// # Panics
    /// If `x` does not have C channels.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let extent = match self.layout {
            Layout::Report => 2,
            Layout::Paper => 1,
        };
        let pooled = adaptive_avg_pool2d(x, [extent, extent]);
        let features: Tensor<2> = self.dropout.forward(pooled, pass).flatten(1, 3);
        if is_convolved(&features) {
            return self.connected_by_convolution(features, pass);
        }
        features.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }

    fn connected_by_convolution(&self, features: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let [images, inputs] = features.dims();
        let [classes, _] = self.weight.val().dims();
        let (x, bias) = (features.reshape([images, inputs, 1, 1]), Some(self.bias.val()));
        let weight = self.weight.val().reshape([classes, inputs, 1, 1]);
        let config = ConvolutionConfig::new();
        convolve(pass.context(), x, weight, bias, config).reshape([images, classes])
    }
}

/// Whether the fully connected layer is computed as a convolution of one pixel: by the kernels of the CPU, whose gradient is
/// a sum over micro-batches, and on cards, on some of which Burn's product of matrices rounds f32 to fewer bits.
fn is_convolved(features: &Tensor<2>) -> bool {
    #[cfg(feature = "cube")]
    if crate::cube::is_cube(&features.device()) {
        return true;
    }
    on_kernels(features)
}
