//! Batch normalisation with the statistics of the batch or of its micro-batches, and a ReLU after it if asked for.

mod groups;

use crate::context::Context;
use crate::error::Error;
use crate::norm_statistics::NormStatistics;
use groups::Groups;
use rayon::prelude::*;
use std::ops::Range;

/// A batch norm: y = w·(x − μ)/√(v + ε) + b with the mean μ and the biased variance v of every channel over the
/// batch, or over each [micro-batch](NormStatistics). With `relu`, the maximum of that and 0.
///
/// | | |
/// |---|---|
/// | x, y | `[images, channels, area]`, row-major |
/// | w, b | `[channels]` |
/// | [`statistics`](Self::statistics) | μ and v from x, `[groups, channels]` |
/// | [`running`](Self::running) | what running statistics move towards, from μ and v |
/// | [`forward`](Self::forward) | y from x |
/// | [`backward`](Self::backward) | the gradients with respect to x, w and b, through μ and v too |
/// | groups | the batch, or those of its micro-batches that have images |
/// | ranks | where they [share](crate::Share) the batch, statistics over the batch are those of the whole |
/// | accuracy | sums of short stretches in f32, which are added up in f64 |
///
/// The sums of a channel go through the images in their order, or through those of each micro-batch: the same input
/// gives the same bits for any number of threads.
///
/// Source: Ioffe & Szegedy, Batch normalization (ICML 2015); for parts of a batch ("ghost" batch norm), Hoffer, Hubara &
/// Soudry, Train longer, generalize better (NeurIPS 2017).
#[derive(Clone, Copy, Debug)]
pub struct BatchNormKernel {
    /// Images n.
    pub images: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a channel.
    pub area: usize,
    /// Which images have statistics in common.
    pub over: NormStatistics,
    /// ε.
    pub epsilon: f64,
    /// Whether a ReLU follows.
    pub relu: bool,
}

/// The statistics of one channel over a group of images.
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
    /// Mean and variance of every channel in every group, `[groups, channels]`.
    ///
    /// # Errors
    /// [`Error::Length`] if `x` does not fit the shape.
    pub fn statistics(&self, context: &Context, x: &[f32]) -> Result<Vec<Statistics>, Error> {
        self.check("the input x of a batch norm", x)?;
        let groups = self.groups(context);
        let totals = |of_map: &(dyn Fn(usize, &[f32]) -> f64 + Sync)| {
            let total = |index: usize| {
                let map = |map: &[f32]| of_map(index, map);
                let channel = index % self.channels;
                let mut of = |images| self.maps(x, channel, images).map(map).sum::<f64>();
                groups.sum(index / self.channels, &mut of, &|sum, more| *sum += more)
            };
            let all = || (0..groups.count() * self.channels).into_par_iter().map(total).collect();
            let mut totals: Vec<f64> = context.install(all);
            groups.add_ranks(context, &mut totals);
            totals
        };
        let pixels = |index: usize| groups.pixels(index / self.channels);
        let means = totals(&|_, map| sum(map, |x| x)).into_iter().enumerate();
        let means: Vec<f64> = means.map(|(index, total)| total / pixels(index)).collect();
        // (Squares of deviations, because a difference of sums of squares would cancel.)
        let squares = totals(&|index, map| {
            let middle = means[index] as f32;
            sum(map, |x| (x - middle) * (x - middle))
        });
        let statistics = means.iter().zip(squares).enumerate().map(|(index, (&mean, squares))| {
            let rounded = mean - f64::from(mean as f32);
            Statistics { mean, variance: squares / pixels(index) - rounded.powi(2) }
        });
        Ok(statistics.collect())
    }

    /// The mean and the unbiased variance of every channel, which running statistics move towards. Of several groups, they
    /// are the means over the groups, each by its images. Of groups on several ranks, these are the parts of this rank:
    /// [`Share::complete_later`](crate::Share::complete_later) adds them up.
    ///
    /// # Errors
    /// [`Error::Length`] if there are not as many statistics as groups and channels.
    pub fn running(
        &self,
        context: &Context,
        statistics: &[Statistics],
    ) -> Result<[Vec<f32>; 2], Error> {
        let groups = self.groups(context);
        self.check_statistics(&groups, statistics)?;
        let whole = (context.batch_images(self.images) * self.area).max(1) as f64;
        let of = |value: &dyn Fn(f64, Statistics) -> f64| {
            let channel = |channel: usize| {
                groups.sum_of_groups(|group| {
                    let pixels = groups.pixels(group);
                    let value = value(pixels, statistics[group * self.channels + channel]);
                    // The whole batch has all pixels.
                    (pixels / whole * value) as f32
                })
            };
            (0..self.channels).map(channel).collect()
        };
        let unbiased = |pixels: f64| pixels / (pixels - 1.0).max(1.0);
        Ok([of(&|_, own| own.mean), of(&|pixels, own| own.variance * unbiased(pixels))])
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
        let groups = self.groups(context);
        self.check_statistics(&groups, statistics)?;
        self.check_channels(weight, bias)?;
        let area = self.area.max(1);
        context.install(|| {
            let maps = y.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate();
            maps.for_each(|(map, (y, x))| {
                let channel = map % self.channels;
                let own =
                    statistics[groups.of_image(map / self.channels) * self.channels + channel];
                let affine = self.affine(own, weight[channel], bias[channel]);
                for (y, &x) in y.iter_mut().zip(x) {
                    let value = affine.scale * x + affine.shift;
                    *y = if self.relu { value.max(0.0) } else { value };
                }
            });
        });
        Ok(())
    }

    /// Replaces the gradient with respect to y, in `gradient`, by the gradient with respect to x. Returns the
    /// gradients with respect to w and b. Of ranks that share the batch, each returns its part of these two.
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
        let groups = self.groups(context);
        self.check_statistics(&groups, statistics)?;
        self.check_channels(weight, bias)?;
        let channels = self.channels;
        let group = |index: usize| Group {
            pixels: groups.pixels(index / channels),
            middle: statistics[index].mean as f32,
            statistics: statistics[index],
            affine: self.affine(
                statistics[index],
                weight[index % channels],
                bias[index % channels],
            ),
        };
        Ok(context.install(|| self.backward_checked(context, x, (&groups, &group), gradient)))
    }

    fn backward_checked(
        &self,
        context: &Context,
        x: &[f32],
        (groups, group): (&Groups, &(impl Fn(usize) -> Group + Sync)),
        gradient: &mut [f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let y_gradient = &*gradient;
        // Per group and channel: Σ g and Σ g·x̂ over the pixels that the ReLU lets through.
        let found: Vec<[f64; 2]> = (0..groups.count() * self.channels)
            .into_par_iter()
            .map(|index| {
                let Group { middle, statistics: Statistics { mean, variance }, affine, .. } =
                    group(index);
                let deviation = (variance + self.epsilon).sqrt();
                let passed = |x, g| if self.passes(affine, x) { g } else { 0.0 };
                let channel = index % self.channels;
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
                groups.sum(index / self.channels, &mut of, &add)
            })
            .collect();
        let mut sums = found.into_flattened();
        groups.add_ranks(context, &mut sums);
        let area = self.area.max(1);
        let maps = gradient.par_chunks_mut(area).zip(x.par_chunks(area)).enumerate();
        maps.for_each(|(map, (g, x))| {
            let (image, channel) = (map / self.channels, map % self.channels);
            let index = groups.of_image(image) * self.channels + channel;
            let Group { pixels, statistics: Statistics { mean, variance }, affine, .. } =
                group(index);
            let deviation = (variance + self.epsilon).sqrt();
            let [sum, product] = [sums[2 * index], sums[2 * index + 1]];
            // dx = w/σ·(g − mean of g − x̂·mean of g·x̂), an affine function of g and x.
            let factor = -product / pixels / deviation;
            let constant = (-sum / pixels - factor * mean) as f32 * affine.scale;
            let factor = factor as f32 * affine.scale;
            for (g, &x) in g.iter_mut().zip(x) {
                let passed = if self.passes(affine, x) { *g } else { 0.0 };
                *g = affine.scale * passed + (factor * x + constant);
            }
        });
        let of = |which: usize| -> Vec<f32> {
            let at =
                |group: usize, channel: usize| sums[2 * (group * self.channels + channel) + which];
            let all = 0..self.channels;
            all.map(|channel| groups.sum_of_groups(|group| at(group, channel) as f32)).collect()
        };
        let (mut weight, mut bias) = (of(1), of(0));
        if !groups.are_parts() {
            context.count_once(&mut [&mut weight, &mut bias]);
        }
        (weight, bias)
    }

    /// The groups that have statistics of their own.
    fn groups(&self, context: &Context) -> Groups {
        Groups::new(self.over, context, self.images, self.area)
    }

    /// y = scale·x + shift for one channel.
    fn affine(&self, statistics: Statistics, weight: f32, bias: f32) -> Affine {
        let Statistics { mean, variance } = statistics;
        let scale = f64::from(weight) / (variance + self.epsilon).sqrt();
        Affine { scale: scale as f32, shift: (f64::from(bias) - mean * scale) as f32 }
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

    fn check_statistics(&self, groups: &Groups, statistics: &[Statistics]) -> Result<(), Error> {
        let expected = groups.count() * self.channels;
        Error::check_len("the statistics of a batch norm", expected, statistics.len())
    }

    fn check_channels(&self, weight: &[f32], bias: &[f32]) -> Result<(), Error> {
        Error::check_len("the weight of a batch norm", self.channels, weight.len())?;
        Error::check_len("the bias of a batch norm", self.channels, bias.len())
    }
}

/// One channel of a group.
struct Group {
    pixels: f64,
    statistics: Statistics,
    /// μ, rounded.
    middle: f32,
    affine: Affine,
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
