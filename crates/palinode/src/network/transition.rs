//! Between two units: half the resolution, more channels.

use super::config::Layout;
use crate::scheme::Streams;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;

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
    let pooled = avg_pool2d(x, AvgPoolOptions::new([2, 2]));
    let [images, channels, height, _] = pooled.dims();
    let columns = pooled.dims()[3];
    let missing = width - channels;
    if missing == 0 {
        return pooled;
    }
    let zeros = |count: usize| {
        Tensor::zeros([images, count, height, columns], (&pooled.device(), pooled.dtype()))
    };
    let parts = match (streams, layout) {
        (Streams::One, _) => vec![pooled.clone(), zeros(missing)],
        (Streams::Two, Layout::Report) => {
            let zeros = zeros(missing / 2);
            let halves = pooled.clone().chunk(2, 1);
            halves.into_iter().flat_map(|half| [half, zeros.clone()]).collect()
        }
        (Streams::Two, Layout::Paper) => {
            let share = missing / 2;
            let (before, after) = (zeros(share / 2), zeros(share - share / 2));
            let halves = pooled.clone().chunk(2, 1);
            let padded = halves.into_iter().flat_map(|half| [before.clone(), half, after.clone()]);
            padded.filter(|part| part.dims()[1] > 0).collect()
        }
    };
    Tensor::cat(parts, 1)
}
