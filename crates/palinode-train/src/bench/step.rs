//! Training steps on random images, one after the other, with the clock and the allocator watched.

use super::meter::Meter;
use crate::error::Result;
use crate::recipe::OptimizerRecipe;
use crate::train::{NetworkOptimizer, ParameterGradients, losses};
use burn::tensor::{Device, Int, Tensor, TensorData};
use palinode::Context;
use palinode::device::{check_available, synchronize};
use palinode::memory::free_orphans;
use palinode::network::{Modes, Network, NetworkConfig, Phase, StateKind, count};
use palinode::pass::Statistics;
use palinode::precision::NumberType;
use palinode::random::{Generator, Purpose};
use palinode::ranks::{Group, Share};
use palinode::reversible::Watch;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// The peak of the live bytes during a training step, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakBytes {
    /// All of it: what a process needs beyond its state before the network was made.
    pub total: usize,
    /// 4 bytes × parameters.
    pub parameters: usize,
    /// 4 bytes × parameters.
    pub gradients: usize,
    /// 4 bytes × parameters: the momentum.
    pub optimizer: usize,
    /// What is alive between the forward and the backward pass because of the forward pass, without the working memory that
    /// the kernels leave for the next call.
    pub activations: usize,
    /// Everything else at the moment of the peak.
    pub workspace: usize,
}

/// One measured training step.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Wall time: forward, backward and optimiser.
    pub seconds: f64,
    /// The same by part: what the kernels compute, the optimiser, and under `rest` the head, the loss
    /// and the bookkeeping of the autodiff graph.
    pub parts: Vec<(&'static str, f64)>,
    /// Memory.
    pub peak_bytes: PeakBytes,
    /// The part of the activations that norms inside reversible or checkpointed blocks keep: their
    /// batch statistics, two numbers per channel.
    pub side_state: usize,
}

/// What is measured: a step in one mode on a batch of random images, on one device.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// How the units are differentiated.
    pub modes: Modes,
    /// Images.
    pub batch_size: usize,
    /// Seed of weights and images.
    pub seed: u64,
    /// Without autodiff.
    pub device: Device,
    /// What residuals are evaluated in.
    pub precision: NumberType,
    /// What the states of the units are; `None`: what is usual for the mode.
    pub state: Option<StateKind>,
    /// Whether states that come back are compared with those of the forward pass, as in training.
    pub watched: bool,
    /// Ranks that share the batch; `None`: this process has all of it.
    pub group: Option<Arc<Group>>,
}

/// A network in training on one batch of random images.
pub struct StepBench<'a> {
    network: Network,
    optimizer: NetworkOptimizer,
    device: Device,
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    watch: Option<Watch>,
    /// Of this rank in the batch.
    share: Option<Share>,
    /// Images of the whole batch.
    batch_size: usize,
    meter: &'a dyn Meter,
    /// Steps so far.
    steps: u64,
    /// Live bytes before the network was made.
    before: usize,
    /// 4 bytes × parameters.
    bytes: usize,
    side_state: usize,
    /// Live bytes after the forward pass because of it.
    activations: usize,
}

impl<'a> StepBench<'a> {
    /// A network of `config` and random images. `meter` watches the memory of the plan's device.
    ///
    /// # Errors
    /// As [`NetworkConfig::init`] and [`Network::with_context`].
    pub fn new(
        config: &NetworkConfig,
        plan: &StepPlan,
        meter: &'a dyn Meter,
        context: &Context,
    ) -> Result<Self> {
        let StepPlan { batch_size, seed, ref modes, .. } = *plan;
        config.validate()?;
        let ranks = plan.group.as_ref();
        let own = batch_size.div_ceil(ranks.map_or(1, |group| group.count()));
        let parts = config.step_bytes(config.parameter_count().total, modes, own)?;
        check_available(&plan.device, &parts)?;
        let device = plan.device.clone().autodiff();
        // What a network measured before this one has left behind is not to be freed while this one is measured.
        free_orphans();
        let before = meter.current();
        let share = ranks.map(|group| Share::new(Arc::<Group>::clone(group), batch_size));
        let share = share.transpose().map_err(palinode::Error::from)?;
        let network = config.init_in(seed, modes, &device)?.with_context(context)?;
        let network = network.with_precision(plan.precision)?;
        let optimizer = NetworkOptimizer::new(&OptimizerRecipe::default(), &network);
        let bytes = 4 * count(&network).total;
        let [rows, columns] = config.size;
        let mut generator = Generator::new(seed, Purpose::Input);
        let images = generator.normal([batch_size, config.channels, rows, columns], 1.0, &device);
        let state = plan.state.unwrap_or_else(|| StateKind::usual_for(modes));
        let network = network.with_state(state, images.clone().narrow(0, 0, batch_size.min(2)))?;
        let watch = plan.watched.then(Watch::new);
        let network = network.with_watch(watch.as_ref());
        let labels: Vec<i64> =
            (0..batch_size).map(|_| i64::from(generator.below(config.classes as u32))).collect();
        let mut labels = Tensor::from_data(TensorData::new(labels, [batch_size]), &device);
        let (mut images, mut network) = (images, network);
        if let Some(share) = &share {
            let own = share.images();
            images = images.narrow(0, own.start, own.len());
            labels = labels.narrow(0, own.start, own.len());
            let context = context.with_share(Some(share.clone())).map_err(palinode::Error::from)?;
            network = network.with_context(&context)?;
        }
        let side_state = network.kept_statistics(own) * size_of::<Statistics>();
        let device = plan.device.clone();
        Ok(Self {
            network,
            optimizer,
            device,
            images,
            labels,
            watch,
            share,
            batch_size,
            meter,
            steps: 0,
            before,
            bytes,
            side_state,
            activations: 0,
        })
    }

    /// Live bytes without the working memory that kernels leave for the next call.
    fn kept(&self) -> usize {
        let on_host = !self.meter.waits();
        let scratch = if on_host { self.network.context().scratch_bytes() } else { 0 };
        self.meter.current().saturating_sub(scratch)
    }

    /// One step. (In the first one the optimiser makes its state.) The clock stops when the device has
    /// finished.
    ///
    /// # Errors
    /// As [`Network::forward`], and [`palinode::Error::Device`] if the device fails.
    pub fn step(mut self) -> Result<(Self, Stepped)> {
        // The time of the first two steps does not count where a reading would wait.
        if !self.meter.waits() || self.steps < 2 {
            self.meter.reset_peak();
        }
        let before = self.network.context().profile().seconds();
        let phase = Phase::Training { seed: 0, step: self.steps };
        self.steps += 1;
        let (began, start) = (Instant::now(), self.kept());
        let logits = self.network.forward(self.images.clone(), phase)?;
        // The mean over the whole batch.
        let loss = losses(logits, self.labels.clone(), 0.0).sum() / self.batch_size as f64;
        if !self.meter.waits() || self.steps <= 2 {
            self.activations = self.kept().saturating_sub(start);
        }
        let mut gradients = loss.backward();
        drop(loss);
        let updating = Instant::now();
        let mut gradients = ParameterGradients::take(&self.network, &mut gradients);
        if let Some(share) = &self.share {
            gradients.add_ranks(share, &self.network)?;
        }
        if let Some(watch) = &self.watch
            && !self.meter.waits()
        {
            watch.read(self.network.units.len())?;
        }
        (self.network, _) = self.optimizer.step(self.network, gradients, 1e-3)?;
        synchronize(&self.device)?;
        let optimizer = updating.elapsed().as_secs_f64();
        let seconds = began.elapsed().as_secs_f64();

        let after = self.network.context().profile().seconds().into_iter().zip(before);
        let mut parts: Vec<_> = after.map(|((name, now), (_, then))| (name, now - then)).collect();
        parts.push(("optimizer", optimizer));
        let known: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
        parts.push(("rest", (seconds - known).max(0.0)));

        let total = self.meter.peak().saturating_sub(self.before);
        let (bytes, activations) = (self.bytes, self.activations);
        let peak_bytes = PeakBytes {
            total,
            parameters: bytes,
            gradients: bytes,
            optimizer: bytes,
            activations,
            workspace: total.saturating_sub(3 * bytes + activations),
        };
        let side_state = self.side_state;
        Ok((self, Stepped { seconds, parts, peak_bytes, side_state }))
    }
}
