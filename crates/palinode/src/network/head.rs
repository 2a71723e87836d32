//! From the last map to logits.

use super::config::Layout;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

/// Average pool and fully connected layer: `[n, C₃, h, w]` → `[n, classes]`.
///
/// Layout `report` pools to 2×2 and flattens in (channel, row, column) order: 4C₃ features; layout
/// `paper` pools globally: C₃ features.
///
/// Parameters: `weight` `[classes, features]`, `bias` `[classes]`.
#[derive(Module, Debug)]
pub struct Head {
    /// `[classes, features]`.
    pub weight: Param<Tensor<2>>,
    /// `[classes]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    layout: Layout,
}

impl Head {
    /// Weights uniform in ±1/√features, a bias of zeros.
    pub fn new(
        features: usize,
        classes: usize,
        layout: Layout,
        generator: &mut Generator,
        device: &Device,
    ) -> Self {
        let bound = 1.0 / (features as f64).sqrt();
        let weight = generator.uniform([classes, features], bound, device);
        Self {
            weight: Param::from_tensor(weight),
            bias: Param::from_tensor(Tensor::zeros([classes], device)),
            layout,
        }
    }

    /// The logits.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let extent = match self.layout {
            Layout::Report => 2,
            Layout::Paper => 1,
        };
        let features: Tensor<2> = adaptive_avg_pool2d(x, [extent, extent]).flatten(1, 3);
        features.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}
