//! Batch normalisation with PyTorch's running statistics.

use crate::activation::{Activation, activate};
use crate::autodiff::{Given, Variable, on_kernels, record, tensor, values, view};
use crate::pass::{Moments, Pass, Statistics};
use burn::module::{Module, Param, RunningState};
use burn::tensor::module::batch_norm;
use burn::tensor::{DType, Device, Tensor, TensorData};
use palinode_kernels::norm::BatchNormKernel;
use palinode_kernels::profile::Section;
use palinode_kernels::{Context, NormStatistics};

/// Batch norm over `[n, C, h, w]`, with one mean and one variance per channel.
///
/// y = weight·(x − μ)/√(v + ε) + bias. In training, μ and v are the mean and the biased variance of
/// the batch. With weight `momentum`, the running mean moves towards μ and the running variance
/// towards the unbiased variance of the batch. (Burn's own module keeps the biased variance. Weight
/// files exchanged with PyTorch need the unbiased one.)
///
/// Where the context asks for [`NormStatistics::Microbatch`], each micro-batch is normalised by its own μ and v, and the running
/// statistics move towards the means of these over the micro-batches. That is for f32 on the CPU. Where ranks share the
/// batch, they do so when [`Share::end_step`](palinode_kernels::Share::end_step) is called.
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

/// Whether an array of a norm with this name is one of its running statistics, which are not trained.
pub(crate) fn is_running(name: &str) -> bool {
    matches!(name, "running_mean" | "running_var")
}

impl BatchNorm {
    /// A norm for `channels` channels, with ε = `epsilon` and momentum 0.1.
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

    /// The normalised input: `[n, C, h, w]` → `[n, C, h, w]`. In [`Phase::Training`](crate::pass::Phase::Training) the first
    /// evaluation of a step updates the running statistics. A second evaluation uses the batch
    /// statistics of the first and updates nothing.
    ///
    /// # Panics
    /// If `x` does not have C channels.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.normalise(x, pass, false)
    }

    /// [`forward`](Self::forward) followed by a ReLU, in one pass over the pixels.
    ///
    /// # Panics
    /// If `x` does not have C channels.
    pub fn forward_relu(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.normalise(x, pass, true)
    }

    /// The derivative of the norm with the running statistics, applied to `v` `[n, C, h, w]`: each channel of v times
    /// weight/√(v + ε).
    pub fn scaled(&self, v: Tensor<4>) -> Tensor<4> {
        let factor = self.weight.val() / (self.running_var.value() + self.epsilon).sqrt();
        v * factor.reshape([1, -1, 1, 1])
    }

    fn normalise(&self, x: Tensor<4>, pass: &Pass, relu: bool) -> Tensor<4> {
        let dtype = x.dtype();
        if Some(dtype) == pass.precision().half() {
            // Sums over many numbers need more than a half type.
            return self.normalise_in_type(x.cast(DType::F32), pass, relu).cast(dtype);
        }
        self.normalise_in_type(x, pass, relu)
    }

    fn normalise_in_type(&self, x: Tensor<4>, pass: &Pass, relu: bool) -> Tensor<4> {
        let batch = pass.phase().uses_batch().then(|| {
            let compute = || self.moments(&x, pass.context());
            let known = pass.batch_moments(self.weight.id, compute);
            if pass.moves_running_statistics() {
                self.update(&x, &known, pass.context());
            }
            known
        });
        let channels = match &batch {
            Some(Moments::OnHost(channels)) => Some(&**channels),
            _ => None,
        };
        let for_kernel = on_kernels(&x) && channels.is_some() == batch.is_some();
        if for_kernel && let Some(y) = self.by_kernel(&x, channels, relu, pass.context()) {
            return y;
        }
        if pass.phase().uses_batch() && pass.context().norm_statistics() != NormStatistics::Batch {
            pass.refuse("statistics of micro-batches are for f32 on the CPU");
        }
        let y = match batch {
            Some(batch) => self.by_batch(x, batch),
            None => self.by_running(x),
        };
        if relu { activate(Activation::Relu, y) } else { y }
    }

    /// Mean and variance of every channel of `x`, on the host for each group of images that has its own.
    fn moments(&self, x: &Tensor<4>, context: &Context) -> Moments {
        let [images, channels, height, width] = x.dims();
        if on_kernels(x) {
            let over = context.norm_statistics();
            let kernel = self.kernel([images, channels, height * width], over);
            let compute = || kernel.statistics(context, &view(x.clone()));
            let found = context.profile().time(Section::Norms, compute);
            return Moments::OnHost(found.expect("the shape is that of x").into());
        }
        Moments::OnDevice(moments(x.clone().inner()).into())
    }

    /// The kernel for `[images, channels, area]`.
    fn kernel(
        &self,
        [images, channels, area]: [usize; 3],
        over: NormStatistics,
    ) -> BatchNormKernel {
        BatchNormKernel { images, channels, area, over, epsilon: self.epsilon, relu: false }
    }

    /// The norm by the kernels (f32 on the CPU), with the batch statistics or the running ones. `None`
    /// if it cannot be recorded on the autodiff graph: the kernels have no gradient for running
    /// statistics, and no node on other backends.
    ///
    /// # Panics
    /// If `x` does not have C channels.
    fn by_kernel(
        &self,
        x: &Tensor<4>,
        batch: Option<&[Statistics]>,
        relu: bool,
        context: &Context,
    ) -> Option<Tensor<4>> {
        let shape @ [images, channels, height, width] = x.dims();
        // The running statistics are those of all images.
        let over = batch.map_or(NormStatistics::Batch, |_| context.norm_statistics());
        let extents = [images, channels, height * width];
        let kernel = BatchNormKernel { relu, ..self.kernel(extents, over) };
        let device = x.clone().inner().device();
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let tracked = x.is_tracked() || weight.is_tracked() || bias.is_tracked();
        if tracked && batch.is_none() {
            return None;
        }
        let statistics = batch.map_or_else(|| self.running(), <[Statistics]>::to_vec);
        let input = view(x.clone());
        let affine = (view(weight.clone()), view(bias.clone()));
        let mut y = vec![0.0; input.len()];
        let compute =
            || kernel.forward(context, &input, &statistics, (&affine.0, &affine.1), &mut y);
        let computed = context.profile().time(Section::Norms, compute);
        computed.unwrap_or_else(|error| panic!("batch norm: {error}"));
        let output = tensor(y, shape, &device);
        if !tracked {
            return Some(output);
        }
        let mut given = Given::none();
        // Of statistics over the batch, the gradients are those of the whole batch already.
        let are_parts = over == NormStatistics::Microbatch;
        if are_parts {
            given.add(context, Some(&weight));
            given.add(context, Some(&bias));
        }
        let (kept, kept_context) = (x.clone().inner(), context.clone());
        let parents =
            [Variable::Array(x.clone()), Variable::Vector(weight), Variable::Vector(bias)];
        let vjp = move |gradient, _| {
            let mut gradient = values(gradient);
            let affine = (&*affine.0, &*affine.1);
            let found =
                kernel.backward(&kept_context, &view(kept), &statistics, affine, &mut gradient);
            let (mut weight, mut bias) = found.expect("the shapes of the forward pass");
            if are_parts {
                given.send(&kept_context, &mut [&mut weight, &mut bias]);
            }
            [
                Some(Variable::Array(tensor(gradient, shape, &device))),
                Some(Variable::Vector(tensor(weight, [channels], &device))),
                Some(Variable::Vector(tensor(bias, [channels], &device))),
            ]
        };
        record(context, Section::Norms, parents, output, vjp).ok()
    }

    /// The norm with the running statistics, by Burn's operations, without the ReLU.
    fn by_running(&self, x: Tensor<4>) -> Tensor<4> {
        let (mean, variance) = (self.running_mean.value(), self.running_var.value());
        batch_norm(x, self.weight.val(), self.bias.val(), mean, variance, self.epsilon)
    }

    /// The norm with the moments of a batch, by Burn's operations, without the ReLU.
    fn by_batch(&self, x: Tensor<4>, batch: Moments) -> Tensor<4> {
        let [mean, variance] = match batch {
            Moments::OnDevice(moments) => moments.as_ref().clone(),
            Moments::OnHost(channels) => {
                let tensor = |of: fn(&Statistics) -> f64| {
                    let values: Vec<f64> = channels.iter().map(of).collect();
                    let data = TensorData::new(values, [1, channels.len(), 1, 1]);
                    Tensor::from_data(data, (&x.clone().inner().device(), x.dtype()))
                };
                [tensor(|s| s.mean), tensor(|s| s.variance)]
            }
        };
        // The values are the given ones; the gradients are those of the moments of x.
        let of = |moment: Tensor<4>, known: Tensor<4>| match moment.is_autodiff() {
            true => moment.clone() - moment.detach() + known.autodiff(),
            false => known,
        };
        let [own_mean, own_variance] = moments(x.clone());
        let (mean, variance) = (of(own_mean, mean), of(own_variance, variance));
        let per_channel = |vector: Tensor<1>| vector.reshape([1, -1, 1, 1]);
        let (weight, bias) = (per_channel(self.weight.val()), per_channel(self.bias.val()));
        (x - mean) / (variance + self.epsilon).sqrt() * weight + bias
    }

    /// The running statistics.
    fn running(&self) -> Vec<Statistics> {
        let of = |state: &RunningState<Tensor<1>>| values(state.value());
        let pairs = of(&self.running_mean).into_iter().zip(of(&self.running_var));
        pairs.map(Statistics::from).collect()
    }

    /// Moves the running statistics towards those of the batch `x`.
    fn update(&self, x: &Tensor<4>, batch: &Moments, context: &Context) {
        let [images, channels, height, width] = x.dims();
        match batch {
            Moments::OnHost(statistics) => {
                let over = context.norm_statistics();
                let kernel = self.kernel([images, channels, height * width], over);
                let found = kernel.running(context, statistics);
                let [mean, variance] = found.expect("the statistics are those of x");
                let (device, momentum) = (x.clone().inner().device(), self.momentum);
                let states = [self.running_mean.clone(), self.running_var.clone()];
                let step = move |sums: &[f32]| {
                    for (state, towards) in states.iter().zip(sums.chunks(channels)) {
                        let data = TensorData::new(towards.to_vec(), [channels]);
                        move_towards(state, Tensor::from_data(data, &device), momentum);
                    }
                };
                let sums = [mean, variance].concat();
                match (over, context.share()) {
                    (NormStatistics::Microbatch, Some(share)) => share.complete_later(sums, step),
                    _ => step(&sums),
                }
            }
            Moments::OnDevice(moments) => {
                let count = (context.batch_images(images) * height * width) as f64;
                let unbiased = count / (count - 1.0).max(1.0);
                let [mean, variance] = moments.as_ref().clone();
                let variance = variance.reshape([channels]) * unbiased;
                move_towards(&self.running_mean, mean.reshape([channels]), self.momentum);
                move_towards(&self.running_var, variance, self.momentum);
            }
        }
    }
}

/// Moves a running statistic towards that of a batch.
fn move_towards(state: &RunningState<Tensor<1>>, batch: Tensor<1>, momentum: f64) {
    let old = state.value_sync().inner();
    state.update(old * (1.0 - momentum) + batch * momentum);
    // Burn commits an update when the value is next read. Read it now, so that a save sees it.
    state.value_sync();
}

/// Mean and biased variance of every channel, each `[1, C, 1, 1]`, by Burn's operations.
fn moments(x: Tensor<4>) -> [Tensor<4>; 2] {
    let over_pixels = |x: Tensor<4>| x.mean_dim(0).mean_dim(2).mean_dim(3);
    let mean = over_pixels(x.clone());
    let variance = over_pixels((x - mean.clone()).powi_scalar(2));
    [mean, variance]
}
