//! Between two units: half the resolution, more channels.

use super::config::Layout;
use crate::node::{Variable, on_kernels, record, tensor, view};
use crate::profile::{Part, time};
use crate::scheme::Streams;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use palinode_kernels::pool::Pool;

/// 2×2 average pool (an odd last row or column is dropped), then zero channels up to `width`.
///
/// Two streams: each gets its share, appended (layout `report`) or half before and half after
/// (layout `paper`). One state: all appended after the last channel.
pub(super) fn transition(
    x: Tensor<4>,
    width: usize,
    streams: Streams,
    layout: Layout,
) -> Tensor<4> {
    let channels = x.dims()[1];
    let sources = sources(channels, width, streams, layout);
    if on_kernels(&x)
        && let Some(y) = by_kernel(&x, &sources)
    {
        return y;
    }
    by_tensors(x, &sources)
}

/// For every channel of the result the one that it comes from, or none where zeros are put.
fn sources(channels: usize, width: usize, streams: Streams, layout: Layout) -> Vec<Option<usize>> {
    let missing = width.saturating_sub(channels);
    let (parts, before) = match (streams, layout) {
        (Streams::One, _) => (1, 0),
        (Streams::Two, Layout::Report) => (2, 0),
        (Streams::Two, Layout::Paper) => (2, missing / 4),
    };
    let (share, own) = (missing / parts, channels / parts);
    let part = |part: usize| {
        let zeros = |count: usize| std::iter::repeat_n(None, count);
        let kept = (part * own..(part + 1) * own).map(Some);
        zeros(before).chain(kept).chain(zeros(share - before))
    };
    (0..parts).flat_map(part).collect()
}

/// In one pass on the CPU; `None` where the graph is not one it can be recorded on.
fn by_kernel(x: &Tensor<4>, sources: &[Option<usize>]) -> Option<Tensor<4>> {
    let [images, channels, height, width] = x.dims();
    let size = [height, width];
    let sources = sources.to_vec();
    let pool = Pool { images, channels, size, sources: &sources };
    let [rows, columns] = pool.output_size();
    let shape = [images, sources.len(), rows, columns];
    let device = x.clone().inner().device();
    let mut y = vec![0.0; shape.iter().product()];
    time(Part::Transitions, || pool.forward(&view(x.clone()), &mut y));
    let output = tensor(y, shape, &device);
    if !x.is_tracked() {
        return Some(output);
    }
    record(Part::Transitions, [Variable::Array(x.clone())], output, move |slope, _| {
        let pool = Pool { images, channels, size, sources: &sources };
        let mut gradient = vec![0.0; images * channels * height * width];
        pool.backward(&view(slope), &mut gradient);
        [Some(Variable::Array(tensor(gradient, [images, channels, height, width], &device)))]
    })
    .ok()
}

/// By Burn's operations.
fn by_tensors(x: Tensor<4>, sources: &[Option<usize>]) -> Tensor<4> {
    let pooled = avg_pool2d(x, AvgPoolOptions::new([2, 2]));
    let [images, _, height, width] = pooled.dims();
    // Stretches of neighbouring channels, or of zeros.
    let runs = sources.chunk_by(|a, b| match (a, b) {
        (Some(a), Some(b)) => a + 1 == *b,
        (None, None) => true,
        _ => false,
    });
    let parts = runs.map(|run| match run[0] {
        Some(first) => pooled.clone().narrow(1, first, run.len()),
        None => {
            let shape = [images, run.len(), height, width];
            Tensor::zeros(shape, (&pooled.device(), pooled.dtype()))
        }
    });
    Tensor::cat(parts.collect(), 1)
}
