//! Batch normalisation with the running statistics PyTorch keeps.

use super::Phase;
use burn::module::{Module, Param, RunningState};
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

/// Batch norm over `[n, C, h, w]`, one mean and variance per channel.
///
/// y = weight·(x − μ)/√(v + ε) + bias; in training μ and v (biased) are the batch's, and the
/// running ones move by `momentum` towards them, the variance towards the unbiased one. (Burn's own
/// module keeps the biased variance; files exchanged with PyTorch need the other.)
///
/// Parameters: `weight`, `bias` `[C]`; state: `running_mean`, `running_var` `[C]`.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[C]`, initially 1.
    pub weight: Param<Tensor<1>>,
    /// `[C]`, initially 0.
    pub bias: Param<Tensor<1>>,
    /// `[C]`, initially 0.
    pub running_mean: RunningState<Tensor<1>>,
    /// `[C]`, initially 1.
    pub running_var: RunningState<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    momentum: f64,
}

impl BatchNorm {
    /// For `channels` channels, with momentum 0.1.
    pub fn new(channels: usize, epsilon: f64, device: &Device) -> Self {
        let param = Param::from_tensor;
        Self {
            weight: param(Tensor::ones([channels], device)),
            bias: param(Tensor::zeros([channels], device)),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            epsilon,
            momentum: 0.1,
        }
    }

    /// The normalised input; running statistics change in [`Phase::Training`] alone.
    pub fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if phase == Phase::Inference {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm(x, weight, bias, mean, variance, self.epsilon);
        }
        let [images, _, height, width] = x.dims();
        let result = batch_norm_train(x, weight, bias, self.epsilon);
        if phase == Phase::Training {
            let count = (images * height * width) as f64;
            let unbiased = result.variance.inner() * (count / (count - 1.0).max(1.0));
            self.move_towards(&self.running_mean, result.mean.inner());
            self.move_towards(&self.running_var, unbiased);
        }
        result.output
    }

    fn move_towards(&self, state: &RunningState<Tensor<1>>, batch: Tensor<1>) {
        let old = state.value_sync().inner();
        state.update(old * (1.0 - self.momentum) + batch * self.momentum);
        // Burn commits an update when the value is next asked for; ask, so that a save sees it.
        state.value_sync();
    }
}
