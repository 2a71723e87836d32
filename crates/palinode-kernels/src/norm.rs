//! Batch normalisation with the statistics of the batch, and a ReLU after it if asked for.

use crate::context::Context;
use crate::error::Error;
use crate::microbatch::tree;
use rayon::prelude::*;
use std::ops::Range;

/// A batch norm: y = w·(x − μ)/√(v + ε) + b with the mean μ and the biased variance v of every channel over the
/// batch, or with `relu`, the maximum of that and 0.
///
/// | | |
/// |---|---|
/// | x, y | `[images, channels, area]`, row-major |
/// | w, b | `[channels]` |
/// | [`statistics`](Self::statistics) | μ and v from x |
/// | [`forward`](Self::forward) | y from x |
/// | [`backward`](Self::backward) | the gradients with respect to x, w and b, through μ and v too |
/// | ranks | where they [share](crate::Share) the batch, statistics and gradients are those of the whole |
/// | accuracy | sums of short stretches in f32, which are added up in f64 |
///
/// The sums of a channel go through the images in their order, or through those of each micro-batch: the same input
/// gives the same bits for any number of threads.
///
/// Source: Ioffe & Szegedy, Batch normalization (ICML 2015).
#[derive(Clone, Copy, Debug)]
pub struct BatchNormKernel {
    /// Images n.
    pub images: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a channel.
    pub area: usize,
    /// ε.
    pub epsilon: f64,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// The statistics of one channel over a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// μ.
    pub mean: f64,
    /// v, biased.
    pub variance: f64,
}

impl From<(f32, f32)> for Statistics {
    /// (μ, v).
    fn from((mean, variance): (f32, f32)) -> Self {
        Self { mean: f64::from(mean), variance: f64::from(variance) }
    }
}

impl BatchNormKernel {
    /// Mean and variance of every channel.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` does not fit the shape.
    pub fn statistics(&self, context: &Context, x: &[f32]) -> Result<Vec<Statistics>, Error> {
        self.check("the input x of a batch norm", x)?;
        let count = self.count(context);
        let totals = |of_map: &(dyn Fn(usize, &[f32]) -> f64 + Sync)| {
            let channel = |channel: usize| {
                let map = |map: &[f32]| of_map(channel, map);
                let of = |images| self.maps(x, channel, images).map(map).sum::<f64>();
                tree(context.microbatches(), 0..self.images, &mut { of }, &|sum, more| *sum += more)
            };
            let all = || (0..self.channels).into_par_iter().map(channel).collect();
            let mut totals: Vec<f64> = context.install(all);
            context.add_ranks(&mut totals);
            totals
        };
        let means: Vec<f64> =
            totals(&|_, map| sum(map, |x| x)).into_iter().map(|total: f64| total / count).collect();
        // (Squares of deviations, because a difference of sums of squares would cancel.)
        let squares = totals(&|channel, map| {
            let middle = means[channel] as f32;
            sum(map, |x| (x - middle) * (x - middle))
        });
        let statistics = means.iter().zip(squares).map(|(&mean, squares)| {
            let rounded = mean - f64::from(mean as f32);
            Statistics { mean, variance: squares / count - rounded.powi(2) }
        });
        Ok(statistics.collect())
    }

    /// Sets `y` from `x` and its statistics.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape.
    pub fn forward(
        &self,
        context: &Context,
        x: &[f32],
        statistics: &[Statistics],
        (weight, bias): (&[f32], &[f32]),
        y: &mut [f32],
    ) -> Result<(), Error> {
        self.check("the input x of a batch norm", x)?;
        self.check("the output y of a batch norm", y)?;
        self.check_channels(statistics, weight, bias)?;
        let area = self.area.max(1);
        context.install(|| {
            let maps = y.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate();
            maps.for_each(|(index, (y, x))| {
                let affine = self.affine(index % self.channels, statistics, weight, bias);
                for (y, &x) in y.iter_mut().zip(x) {
                    let value = affine.scale * x + affine.shift;
                    *y = if self.relu { value.max(0.0) } else { value };
                }
            });
        });
        Ok(())
    }

    /// Replaces the gradient with respect to y, in `gradient`, by the gradient with respect to x. Returns the
    /// gradients with respect to w and b.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        context: &Context,
        x: &[f32],
        statistics: &[Statistics],
        (weight, bias): (&[f32], &[f32]),
        gradient: &mut [f32],
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        self.check("the input x of a batch norm", x)?;
        self.check("the gradient of a batch norm", gradient)?;
        self.check_channels(statistics, weight, bias)?;
        Ok(context
            .install(|| self.backward_checked(context, x, statistics, (weight, bias), gradient)))
    }

    fn backward_checked(
        &self,
        context: &Context,
        x: &[f32],
        statistics: &[Statistics],
        (weight, bias): (&[f32], &[f32]),
        gradient: &mut [f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let count = self.count(context);
        let y_gradient = &*gradient;
        // Per channel: Σ g and Σ g·x̂ over the pixels that the ReLU lets through.
        let found: Vec<[f64; 2]> = (0..self.channels)
            .into_par_iter()
            .map(|channel| {
                let affine = self.affine(channel, statistics, weight, bias);
                let Statistics { mean, variance } = statistics[channel];
                let deviation = (variance + self.epsilon).sqrt();
                let middle = mean as f32;
                let passed = |x, g| if self.passes(affine, x) { g } else { 0.0 };
                let maps = |images: Range<usize>| {
                    self.maps(x, channel, images.clone())
                        .zip(self.maps(y_gradient, channel, images))
                };
                let mut of = |images| {
                    let (total, product) =
                        maps(images).fold((0.0, 0.0), |(total, product), (x, g)| {
                            let total = total + sum_of_pairs(x, g, passed);
                            let deviated = |x, g| passed(x, g) * (x - middle);
                            (total, product + sum_of_pairs(x, g, deviated))
                        });
                    // Σ g·(x − μ) from Σ g·(x − μ rounded).
                    [total, (product - total * (mean - f64::from(middle))) / deviation]
                };
                let add = |sum: &mut [f64; 2], more: [f64; 2]| {
                    *sum = [sum[0] + more[0], sum[1] + more[1]];
                };
                tree(context.microbatches(), 0..self.images, &mut of, &add)
            })
            .collect();
        let mut sums = found.into_flattened();
        context.add_ranks(&mut sums);
        let area = self.area.max(1);
        let maps = gradient.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate();
        maps.for_each(|(index, (g, x))| {
            let channel = index % self.channels;
            let affine = self.affine(channel, statistics, weight, bias);
            let Statistics { mean, variance } = statistics[channel];
            let deviation = (variance + self.epsilon).sqrt();
            let [sum, product] = [sums[2 * channel], sums[2 * channel + 1]];
            // dx = w/σ·(g − mean of g − x̂·mean of g·x̂), an affine function of g and x.
            let factor = -product / count / deviation;
            let constant = (-sum / count - factor * mean) as f32 * affine.scale;
            let factor = factor as f32 * affine.scale;
            for (g, &x) in g.iter_mut().zip(x) {
                let passed = if self.passes(affine, x) { *g } else { 0.0 };
                *g = affine.scale * passed + (factor * x + constant);
            }
        });
        let sums = sums.as_chunks::<2>().0.iter();
        sums.map(|&[sum, product]| (product as f32, sum as f32)).unzip()
    }

    /// The pixels of a channel over the whole batch.
    fn count(&self, context: &Context) -> f64 {
        (context.batch_images(self.images) * self.area).max(1) as f64
    }

    /// y = scale·x + shift for one channel.
    fn affine(
        &self,
        channel: usize,
        statistics: &[Statistics],
        weight: &[f32],
        bias: &[f32],
    ) -> Affine {
        let Statistics { mean, variance } = statistics[channel];
        let scale = f64::from(weight[channel]) / (variance + self.epsilon).sqrt();
        Affine { scale: scale as f32, shift: (f64::from(bias[channel]) - mean * scale) as f32 }
    }

    fn passes(&self, affine: Affine, x: f32) -> bool {
        !self.relu || affine.scale * x + affine.shift > 0.0
    }

    /// One channel's pixels, image by image.
    fn maps<'a>(
        &self,
        x: &'a [f32],
        channel: usize,
        images: Range<usize>,
    ) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (area, channels) = (self.area, self.channels);
        let image = channels * area;
        x[images.start * image..images.end * image]
            .chunks(image.max(1))
            .map(move |image| &image[channel * area..(channel + 1) * area])
    }

    fn check(&self, what: &'static str, images: &[f32]) -> Result<(), Error> {
        Error::check_len(what, self.images * self.channels * self.area, images.len())
    }

    fn check_channels(
        &self,
        statistics: &[Statistics],
        weight: &[f32],
        bias: &[f32],
    ) -> Result<(), Error> {
        Error::check_len("the statistics of a batch norm", self.channels, statistics.len())?;
        Error::check_len("the weight of a batch norm", self.channels, weight.len())?;
        Error::check_len("the bias of a batch norm", self.channels, bias.len())
    }
}

#[derive(Clone, Copy)]
struct Affine {
    scale: f32,
    shift: f32,
}

/// Numbers that are added side by side: in f32 within a stretch, and in f64 from stretch to stretch.
const LANES: usize = 16;
const STRETCH: usize = 16 * LANES;

/// Σ of `value` over a map.
fn sum(map: &[f32], value: impl Fn(f32) -> f32) -> f64 {
    sum_of_pairs(map, map, |x, _| value(x))
}

/// Σ of `value` over the pixels of two maps.
fn sum_of_pairs(a: &[f32], b: &[f32], value: impl Fn(f32, f32) -> f32) -> f64 {
    let stretches = a.chunks(STRETCH).zip(b.chunks(STRETCH));
    let sums = stretches.map(|(a, b)| {
        let mut lanes = [0.0_f32; LANES];
        let (a_lines, a_rest) = a.as_chunks::<LANES>();
        let (b_lines, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_lines.iter().zip(b_lines) {
            for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += value(a, b);
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| value(a, b)).sum();
        lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + f64::from(rest)
    });
    sums.sum()
}
