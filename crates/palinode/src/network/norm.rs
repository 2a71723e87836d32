//! Batch normalisation with the running statistics PyTorch keeps.

use super::Phase;
use crate::activation::{Activation, activate};
use crate::analysis::profile::{Part, time};
use crate::node::{Variable, on_kernels, record, tensor, values, view};
use burn::module::{Module, Param, RunningState};
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};
use palinode_kernels::norm::{BatchNorm as Kernel, Statistics};

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
        self.normalise(x, phase, false)
    }

    /// [`forward`](Self::forward) with a ReLU behind it, in one pass over the pixels.
    pub fn forward_relu(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        self.normalise(x, phase, true)
    }

    fn normalise(&self, x: Tensor<4>, phase: Phase, relu: bool) -> Tensor<4> {
        if on_kernels(&x)
            && let Some(y) = self.by_kernel(&x, phase, relu)
        {
            return y;
        }
        let y = self.by_tensors(x, phase);
        if relu { activate(Activation::Relu, y) } else { y }
    }

    /// On the CPU; `None` where the graph is not one it can be recorded on.
    fn by_kernel(&self, x: &Tensor<4>, phase: Phase, relu: bool) -> Option<Tensor<4>> {
        let shape @ [images, channels, height, width] = x.dims();
        let area = height * width;
        let device = x.clone().inner().device();
        let kernel = Kernel { images, channels, area, epsilon: self.epsilon, relu };
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let input = view(x.clone());
        let statistics = if phase == Phase::Inference {
            let running = |state: &RunningState<Tensor<1>>| values(state.value());
            let pairs = running(&self.running_mean).into_iter().zip(running(&self.running_var));
            pairs.map(|(mean, variance)| Statistics::from((mean, variance))).collect()
        } else {
            time(Part::Norms, || kernel.statistics(&input))
        };
        let affine = (view(weight.clone()), view(bias.clone()));
        let mut y = vec![0.0; input.len()];
        time(Part::Norms, || {
            kernel.forward(&input, &statistics, (&affine.0, &affine.1), &mut y);
        });
        let output = tensor(y, shape, &device);
        let tracked = x.is_tracked() || weight.is_tracked() || bias.is_tracked();
        if phase == Phase::Inference {
            return (!tracked).then_some(output);
        }
        let batch = {
            let vector = |of: fn(&Statistics) -> f64| -> Tensor<1> {
                let values = statistics.iter().map(|channel| of(channel) as f32).collect();
                tensor(values, [channels], &device)
            };
            (vector(|s| s.mean), vector(|s| s.variance))
        };
        let output = if tracked {
            let kept = x.clone().inner();
            let parents =
                [Variable::Array(x.clone()), Variable::Vector(weight), Variable::Vector(bias)];
            let pull_back = move |slope, _| {
                let mut gradient = values(slope);
                let affine = (&*affine.0, &*affine.1);
                let (weight, bias) =
                    kernel.backward(&view(kept), &statistics, affine, &mut gradient);
                [
                    Some(Variable::Array(tensor(gradient, shape, &device))),
                    Some(Variable::Vector(tensor(weight, [channels], &device))),
                    Some(Variable::Vector(tensor(bias, [channels], &device))),
                ]
            };
            record(Part::Norms, parents, output, pull_back).ok()?
        } else {
            output
        };
        if phase == Phase::Training {
            self.update((images * area) as f64, batch.0, batch.1);
        }
        Some(output)
    }

    /// By Burn's operations, without the ReLU.
    fn by_tensors(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if phase == Phase::Inference {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm(x, weight, bias, mean, variance, self.epsilon);
        }
        let [images, _, height, width] = x.dims();
        let result = batch_norm_train(x, weight, bias, self.epsilon);
        if phase == Phase::Training {
            let count = (images * height * width) as f64;
            self.update(count, result.mean.inner(), result.variance.inner());
        }
        result.output
    }

    /// Moves the running statistics towards those of a batch of `count` pixels per channel.
    fn update(&self, count: f64, mean: Tensor<1>, variance: Tensor<1>) {
        self.move_towards(&self.running_mean, mean);
        self.move_towards(&self.running_var, variance * (count / (count - 1.0).max(1.0)));
    }

    fn move_towards(&self, state: &RunningState<Tensor<1>>, batch: Tensor<1>) {
        let old = state.value_sync().inner();
        state.update(old * (1.0 - self.momentum) + batch * self.momentum);
        // Burn commits an update when the value is next asked for; ask, so that a save sees it.
        state.value_sync();
    }
}
