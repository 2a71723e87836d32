//! Seeded random numbers, the same on every machine and for any number of threads.
//!
//! Burn has a single generator that all threads share, so its numbers depend on the order of calls.
//! Palinode draws its random numbers (initial weights, splits, shuffling, augmentation, dropout) here
//! instead.

use burn::tensor::{Device, Shape, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};

/// The purpose of random numbers. Each purpose has its own independent streams of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// The training–validation split.
    Split = 2,
    /// The order of the training images; one stream per epoch.
    Shuffle = 3,
    /// Augmentation; one stream per epoch, positioned by image.
    Augmentation = 4,
    /// Random inputs of benchmarks and tests.
    Input = 5,
    /// Dropout masks and stochastic depth; one stream per step, positioned by layer and element.
    Dropout = 6,
    /// The choice of images for a subset.
    Subset = 7,
    /// The squares that cutout removes; one stream per pass over the data, positioned by image.
    Cutout = 8,
}

/// A seeded random number generator (ChaCha with 8 rounds).
#[derive(Clone, Debug)]
pub struct Generator(ChaCha8Rng);

impl Generator {
    /// The generator of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self::with_stream(seed, purpose, 0)
    }

    /// The generator of stream `stream` (for instance an epoch) of `seed` for `purpose`.
    pub fn with_stream(seed: u64, purpose: Purpose, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(Self::stream(purpose, stream));
        Self(generator)
    }

    /// The number of stream `stream` for `purpose` among all streams of a seed.
    pub(crate) fn stream(purpose: Purpose, stream: u64) -> u64 {
        (stream << 8) | purpose as u64
    }

    /// Moves to the numbers of item `index`. Each item has 16 words of 32 bits.
    pub fn seek(&mut self, index: usize) {
        self.seek_word(index as u128 * 16);
    }

    /// Moves to word `position` of the stream, counted in words of 32 bits, below 2⁶⁸.
    pub fn seek_word(&mut self, position: u128) {
        self.0.set_word_pos(position);
    }

    /// The next 32 bits.
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A uniform integer in 0..`end`, or 0 if `end` is 0. Takes one word.
    pub fn below(&mut self, end: u32) -> u32 {
        // Multiply-shift always takes one word, so that positions stay predictable.
        ((u64::from(self.0.next_u32()) * u64::from(end)) >> 32) as u32
    }

    /// `true` with probability 1/2. Takes one word.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() >> 31 == 1
    }

    /// A random permutation (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.0.random_range(0..=i as u64) as usize;
            items.swap(i, j);
        }
    }

    /// A tensor of independent normal numbers with mean 0 and standard deviation `deviation`.
    pub fn normal<const D: usize>(
        &mut self,
        shape: impl Into<Shape>,
        deviation: f64,
        device: &Device,
    ) -> Tensor<D> {
        self.fill(shape, device, |rng| {
            let x: f64 = StandardNormal.sample(rng);
            deviation * x
        })
    }

    /// A tensor of independent normal numbers with mean 0 and standard deviation `deviation`, each
    /// redrawn until it is within two standard deviations.
    pub fn truncated_normal<const D: usize>(
        &mut self,
        shape: impl Into<Shape>,
        deviation: f64,
        device: &Device,
    ) -> Tensor<D> {
        self.fill(shape, device, |rng| {
            loop {
                let x: f64 = StandardNormal.sample(rng);
                if x.abs() <= 2.0 {
                    return deviation * x;
                }
            }
        })
    }

    /// A tensor of independent numbers, uniform in −`bound`..=`bound`.
    pub fn uniform<const D: usize>(
        &mut self,
        shape: impl Into<Shape>,
        bound: f64,
        device: &Device,
    ) -> Tensor<D> {
        let unit = Uniform::new_inclusive(-1.0, 1.0).ok();
        self.fill(shape, device, |rng| unit.map_or(0.0, |u| bound * u.sample(rng)))
    }

    fn fill<const D: usize>(
        &mut self,
        shape: impl Into<Shape>,
        device: &Device,
        mut draw: impl FnMut(&mut ChaCha8Rng) -> f64,
    ) -> Tensor<D> {
        let shape = shape.into();
        let values: Vec<f64> = (0..shape.num_elements()).map(|_| draw(&mut self.0)).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_a_stream_do_not_depend_on_the_order_of_access() {
        let draw = |order: &[usize]| {
            let mut generator = Generator::with_stream(7, Purpose::Augmentation, 3);
            let mut draws = vec![0; order.len()];
            for &i in order {
                generator.seek(i);
                draws[i] = generator.below(1000);
            }
            draws
        };
        assert_eq!(draw(&[0, 1, 2, 3]), draw(&[3, 1, 0, 2]));
    }

    #[test]
    fn purposes_and_streams_differ() {
        let first = |purpose, stream| Generator::with_stream(7, purpose, stream).below(u32::MAX);
        assert_ne!(first(Purpose::Split, 0), first(Purpose::Shuffle, 0));
        assert_ne!(first(Purpose::Shuffle, 0), first(Purpose::Shuffle, 1));
    }
}
