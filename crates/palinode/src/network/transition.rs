//! Transitions between two units. They keep or halve the resolution and add channels.

use super::config::{Layout, NetworkConfig, TransitionKind};
use crate::autodiff::{Variable, on_kernels, record, tensor, view};
use crate::pass::Pass;
use crate::scheme::Streams;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use palinode_kernels::Context;
use palinode_kernels::pool::Pool;
use palinode_kernels::profile::Section;

/// An optional 2×2 average pool (an odd last row or column is dropped), then zero channels up to
/// `width`.
///
/// Two streams: each gets half of the zero channels, appended (layout `report`) or half before and
/// half after (layout `paper`). One state: all are appended after the last channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transition {
    pub width: usize,
    pub streams: Streams,
    pub layout: Layout,
    pub pools: bool,
}

impl Transition {
    /// The transition to unit `unit`.
    pub fn to(config: &NetworkConfig, unit: usize) -> Self {
        let pools = config.transition_to(unit) != TransitionKind::Widen;
        let (width, streams) = (config.width(unit), config.streams());
        Self { width, streams, layout: config.layout, pools }
    }

    /// The input of the next unit.
    pub fn apply(self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let sources = self.sources(x.dims()[1]);
        if !self.pools {
            return arranged(x, &sources);
        }
        if on_kernels(&x)
            && let Some(y) = by_kernel(pass.context(), &x, &sources)
        {
            return y;
        }
        arranged(avg_pool2d(x, AvgPoolOptions::new([2, 2])), &sources)
    }

    /// For every channel of the output, the channel of the input that it copies, or `None` for zeros.
    fn sources(self, channels: usize) -> Vec<Option<usize>> {
        let missing = self.width.saturating_sub(channels);
        let (streams, before) = match (self.streams, self.layout) {
            (Streams::One, _) => (1, 0),
            (Streams::Two, Layout::Report) => (2, 0),
            (Streams::Two, Layout::Paper) => (2, missing / 4),
        };
        let (share, own) = (missing / streams, channels / streams);
        let stream = |stream: usize| {
            let zeros = |count: usize| std::iter::repeat_n(None, count);
            let kept = (stream * own..(stream + 1) * own).map(Some);
            zeros(before).chain(kept).chain(zeros(share - before))
        };
        (0..streams).flat_map(stream).collect()
    }
}

/// Pool and zero channels in one pass by the kernels. `None` if the node cannot be recorded on this
/// autodiff graph.
fn by_kernel(context: &Context, x: &Tensor<4>, sources: &[Option<usize>]) -> Option<Tensor<4>> {
    const FITS: &str = "the pool has the shape of x";
    let [images, channels, height, width] = x.dims();
    let size = [height, width];
    let sources = sources.to_vec();
    let pool = Pool { images, channels, size, sources: &sources };
    let [rows, columns] = pool.output_size();
    let shape = [images, sources.len(), rows, columns];
    let device = x.clone().inner().device();
    let mut y = vec![0.0; shape.iter().product()];
    let compute = || pool.forward(context, &view(x.clone()), &mut y);
    context.profile().time(Section::Transitions, compute).expect(FITS);
    let output = tensor(y, shape, &device);
    if !x.is_tracked() {
        return Some(output);
    }
    let kept = context.clone();
    let parents = [Variable::Array(x.clone())];
    record(context, Section::Transitions, parents, output, move |gradient, _| {
        let pool = Pool { images, channels, size, sources: &sources };
        let mut input = vec![0.0; images * channels * height * width];
        pool.backward(&kept, &view(gradient), &mut input).expect(FITS);
        [Some(Variable::Array(tensor(input, [images, channels, height, width], &device)))]
    })
    .ok()
}

/// The channels of x in the order of `sources`, with zeros for `None`, by Burn's operations.
fn arranged(x: Tensor<4>, sources: &[Option<usize>]) -> Tensor<4> {
    let [images, _, height, width] = x.dims();
    // Runs of consecutive channels or of zeros.
    let runs = sources.chunk_by(|a, b| match (a, b) {
        (Some(a), Some(b)) => a + 1 == *b,
        (None, None) => true,
        _ => false,
    });
    let tensors = runs.map(|run| match run[0] {
        Some(first) => x.clone().narrow(1, first, run.len()),
        None => {
            let shape = [images, run.len(), height, width];
            Tensor::zeros(shape, (&x.device(), x.dtype()))
        }
    });
    Tensor::cat(tensors.collect(), 1)
}
