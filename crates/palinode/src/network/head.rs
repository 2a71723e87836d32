//! From the last map to logits.

use super::config::{Layout, NetworkConfig};
use crate::dropout::Dropout;
use crate::pass::Pass;
use crate::random::Generator;
use burn::module::{Module, Param};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

/// Average pool, dropout and fully connected layer: `[n, C₃, h, w]` → `[n, classes]`.
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
    /// Of the features.
    pub dropout: Dropout,
    #[module(skip)]
    layout: Layout,
}

impl Head {
    /// The head of a network: weights uniform in ±1/√features, a bias of zeros.
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

    /// The logits.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let extent = match self.layout {
            Layout::Report => 2,
            Layout::Paper => 1,
        };
        let pooled = adaptive_avg_pool2d(x, [extent, extent]);
        let features: Tensor<2> = self.dropout.forward(pooled, pass).flatten(1, 3);
        features.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}
