//! Pools and batch norm against loops and finite differences in f64.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod support;

use palinode_kernels::norm::BatchNormKernel;
use palinode_kernels::pool::Pool;
use palinode_kernels::{Context, Error, Microbatches, NormStatistics};
use support::{noise, relative, wide};

#[test]
fn pools_are_means_of_squares_and_their_gradient_is_the_adjoint() {
    let context = Context::new();
    for size in [[4, 6], [5, 7], [2, 2], [1, 3]] {
        let sources = [None, Some(2), Some(0), None, Some(1)];
        let pool = Pool { images: 3, channels: 3, size, sources: &sources };
        let [rows, columns] = pool.output_size();
        let x = noise(3 * 3 * size[0] * size[1], 1, 1.0);
        let cotangent = noise(3 * 5 * rows * columns, 2, 1.0);
        let mut truth = vec![0.0; cotangent.len()];
        let mut back = vec![0.0; x.len()];
        for (index, cotangent) in cotangent.iter().enumerate() {
            let (map, row, column) =
                (index / (rows * columns), index / columns % rows, index % columns);
            let Some(source) = sources[map % 5] else { continue };
            for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let channel = map / 5 * 3 + source;
                let at = (channel * size[0] + 2 * row + down) * size[1] + 2 * column + right;
                truth[index] += 0.25 * f64::from(x[at]);
                back[at] += 0.25 * f64::from(*cotangent);
            }
        }
        let mut y = noise(cotangent.len(), 9, 1.0);
        pool.forward(&context, &x, &mut y).unwrap();
        let mut gradient = noise(x.len(), 9, 1.0);
        pool.backward(&context, &cotangent, &mut gradient).unwrap();
        assert!(truth.is_empty() || relative(&y, &truth) < 1e-6, "{size:?}");
        assert!(relative(&gradient, &back) < 1e-6, "{size:?}");
    }
}

/// A batch norm in f64, one channel at a time, for groups of images by themselves.
fn by_groups(
    norm: &BatchNormKernel,
    sizes: &[usize],
    x: &[f64],
    (weight, bias): (&[f64], &[f64]),
) -> Vec<f64> {
    let mut rest = x;
    let mut y = Vec::new();
    for &images in sizes {
        let (own, others) = rest.split_at(images * norm.channels * norm.area);
        y.extend(normalise(&BatchNormKernel { images, ..*norm }, own, weight, bias));
        rest = others;
    }
    y
}

/// A batch norm in f64, one channel at a time.
fn normalise(norm: &BatchNormKernel, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let at = |n: usize, c: usize, p: usize| (n * norm.channels + c) * norm.area + p;
    let count = (norm.images * norm.area) as f64;
    let mut y = vec![0.0; x.len()];
    for c in 0..norm.channels {
        let pixels = (0..norm.images).flat_map(|n| (0..norm.area).map(move |p| (n, p)));
        let mean = pixels.clone().map(|(n, p)| x[at(n, c, p)]).sum::<f64>() / count;
        let squares = pixels.clone().map(|(n, p)| (x[at(n, c, p)] - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count + norm.epsilon).sqrt();
        for (n, p) in pixels {
            let value = weight[c] * (x[at(n, c, p)] - mean) / deviation + bias[c];
            y[at(n, c, p)] = if norm.relu { value.max(0.0) } else { value };
        }
    }
    y
}

/// Value and gradients of a norm over the groups of `sizes`.
fn check_norm(context: &Context, over: NormStatistics, sizes: &[usize], relu: bool) {
    let norm = BatchNormKernel {
        images: sizes.iter().sum(),
        channels: 2,
        area: 5,
        epsilon: 1e-3,
        over,
        relu,
    };
    let length = norm.images * 10;
    let x = noise(length, 1, 2.0);
    let (weight, bias) = (noise(2, 2, 1.0), noise(2, 3, 0.2));
    let cotangent = noise(length, 4, 1.0);
    let statistics = norm.statistics(context, &x).unwrap();
    let mut y = vec![0.0; length];
    norm.forward(context, &x, &statistics, (&weight, &bias), &mut y).unwrap();
    let (x64, w64, b64) = (wide(&x), wide(&weight), wide(&bias));
    assert!(relative(&y, &by_groups(&norm, sizes, &x64, (&w64, &b64))) < 1e-6);

    let mut gradient = cotangent.clone();
    let (gw, gb) =
        norm.backward(context, &x, &statistics, (&weight, &bias), &mut gradient).unwrap();
    let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
        let y = by_groups(&norm, sizes, x, (w, b));
        y.iter().zip(&cotangent).map(|(y, &s)| y * f64::from(s)).sum()
    };
    let h = 1e-6;
    let difference = |values: &[f64], loss: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let moved = |index: usize, by: f64| {
            let mut values = values.to_vec();
            values[index] += by;
            loss(&values)
        };
        (0..values.len()).map(|i| (moved(i, h) - moved(i, -h)) / (2.0 * h)).collect()
    };
    let dx = difference(&x64, &|x| loss(x, &w64, &b64));
    let dw = difference(&w64, &|w| loss(&x64, w, &b64));
    let db = difference(&b64, &|b| loss(&x64, &w64, b));
    let errors = [relative(&gradient, &dx), relative(&gw, &dw), relative(&gb, &db)];
    assert!(errors.iter().all(|&error| error < 2e-6), "{sizes:?}, relu {relu}: {errors:?}");
}

#[test]
fn batch_norm_and_its_gradients_by_differences() {
    for relu in [false, true] {
        check_norm(&Context::new(), NormStatistics::Batch, &[3], relu);
    }
}

#[test]
fn norms_of_micro_batches_and_their_gradients_by_differences() {
    for (microbatches, images, sizes) in
        [(2, 5, vec![3, 2]), (4, 9, vec![3, 2, 2, 2]), (4, 3, vec![1, 1, 1]), (1, 3, vec![3])]
    {
        let own = Microbatches::new(microbatches).unwrap();
        assert_eq!(sizes.iter().sum::<usize>(), images);
        let context = Context::builder().microbatches(Some(own)).build().unwrap();
        for relu in [false, true] {
            check_norm(&context, NormStatistics::Microbatch, &sizes, relu);
        }
    }
}

#[test]
fn running_statistics_move_towards_the_means_over_the_groups() {
    let (images, channels, area) = (5, 2, 3);
    let x = noise(30, 1, 2.0);
    let two = Some(Microbatches::new(2).unwrap());
    let context = Context::builder().microbatches(two).build().unwrap();
    for (over, sizes) in
        [(NormStatistics::Batch, vec![5]), (NormStatistics::Microbatch, vec![3, 2])]
    {
        let norm = BatchNormKernel { images, channels, area, over, epsilon: 1e-5, relu: false };
        let [mean, variance] =
            norm.running(&context, &norm.statistics(&context, &x).unwrap()).unwrap();
        for channel in 0..channels {
            let (mut first, mut expected) = (0, [0.0, 0.0]);
            for &size in &sizes {
                let pixels: Vec<f64> = (first..first + size)
                    .flat_map(|image| &x[(image * channels + channel) * area..][..area])
                    .map(|&pixel| f64::from(pixel))
                    .collect();
                let count = pixels.len() as f64;
                let mean = pixels.iter().sum::<f64>() / count;
                let squares: f64 = pixels.iter().map(|pixel| (pixel - mean).powi(2)).sum();
                let share = size as f64 / images as f64;
                expected[0] += share * mean;
                expected[1] += share * squares / (count - 1.0);
                first += size;
            }
            let found = [mean[channel], variance[channel]];
            assert!(relative(&found, &expected) < 1e-6, "{found:?}, {expected:?}");
        }
    }
    let over = NormStatistics::Batch;
    let norm = BatchNormKernel { images, channels, area, over, epsilon: 1e-5, relu: false };
    let short = norm.running(&context, &[]);
    let what = "the statistics of a batch norm";
    assert_eq!(short, Err(Error::Length { what, expected: 2, found: 0 }));
}

#[test]
fn arrays_and_sources_that_do_not_fit_are_named() {
    let context = Context::new();
    let norm = BatchNormKernel {
        images: 1,
        channels: 2,
        area: 3,
        epsilon: 1e-5,
        over: NormStatistics::Batch,
        relu: false,
    };
    let short = Error::Length { what: "the input x of a batch norm", expected: 6, found: 5 };
    assert_eq!(norm.statistics(&context, &[0.0; 5]), Err(short));
    let statistics = norm.statistics(&context, &[0.0; 6]).unwrap();
    let error = norm.forward(&context, &[0.0; 6], &statistics, (&[1.0], &[0.0; 2]), &mut [0.0; 6]);
    let short = Error::Length { what: "the weight of a batch norm", expected: 2, found: 1 };
    assert_eq!(error, Err(short));

    for (sources, error) in [
        ([Some(0), Some(2)], Error::MissingChannel { source_channel: 2, channels: 2 }),
        ([Some(1), Some(1)], Error::RepeatedChannel { source_channel: 1 }),
    ] {
        let pool = Pool { images: 1, channels: 2, size: [2, 2], sources: &sources };
        assert_eq!(pool.forward(&context, &[0.0; 8], &mut [0.0; 2]), Err(error.clone()));
        assert_eq!(pool.backward(&context, &[0.0; 2], &mut [0.0; 8]), Err(error));
    }
}
