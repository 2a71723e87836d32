//! Dropout masks that are a function of seed, stream, place and element.

use crate::context::Context;
use crate::error::Error;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Elements whose random numbers one task draws.
const STRETCH: usize = 1 << 14;

/// Elements of one place of a stream.
const ELEMENTS: u32 = 40;

/// Places of a stream: a ChaCha8 stream has 2⁶⁸ words.
const PLACES: u64 = 1 << (68 - ELEMENTS);

/// The mask of inverted dropout: an element is 0 with probability `rate` and 1/(1 − `rate`) otherwise.
///
/// Element i is decided by one word of 32 bits: word `place`·2⁴⁰ + i of stream `stream` of the ChaCha8
/// generator with seed `seed`. The element is kept if the word is at least ⌊`rate`·2³²⌋. So a mask need not
/// be stored: it can be drawn again. It does not depend on the number of threads.
///
/// Source of the generator: D. J. Bernstein, ChaCha, a variant of Salsa20 (2008), with 8 rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// Seed of the generator.
    pub seed: u64,
    /// Stream of that seed, for instance one per training step.
    pub stream: u64,
    /// Place in the stream, below 2²⁸, for instance one per layer.
    pub place: u64,
    /// The probability that an element is dropped, in 0…1 (1 excluded).
    pub rate: f64,
}

/// What a graphics card needs to draw a [`Mask`].
#[cfg(feature = "cube")]
pub(crate) struct Drawn {
    /// The first block of the generator before its rounds. Word 12 counts the blocks from here on.
    pub block: [u32; 16],
    /// The smallest word whose element is kept.
    pub threshold: u32,
    /// What a kept element is multiplied by.
    pub kept: f32,
}

impl Mask {
    /// Sets every element of `mask`, which begins with element `first`. There are up to 2⁴⁰ elements.
    ///
    /// # Errors
    /// [`Error::Rate`] or [`Error::Place`], if one of them is out of its range.
    pub fn fill(&self, context: &Context, first: usize, mask: &mut [f32]) -> Result<(), Error> {
        self.check()?;
        let (threshold, kept) = self.decision();
        context.install(|| {
            mask.par_chunks_mut(STRETCH).enumerate().for_each(|(stretch, mask)| {
                let mut words = self.words(first + stretch * STRETCH);
                for element in mask {
                    *element = if words.next_u32() >= threshold { kept } else { 0.0 };
                }
            });
        });
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let Self { place, rate, .. } = *self;
        if !(0.0..1.0).contains(&rate) {
            return Err(Error::Rate { rate });
        }
        if place >= PLACES {
            return Err(Error::Place { place, end: PLACES });
        }
        Ok(())
    }

    /// The smallest word whose element is kept, and what a kept element becomes.
    fn decision(&self) -> (u32, f32) {
        let threshold = (self.rate * (f64::from(u32::MAX) + 1.0)) as u32;
        (threshold, (1.0 / (1.0 - self.rate)) as f32)
    }

    /// What a graphics card needs to draw the mask.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    #[cfg(feature = "cube")]
    pub(crate) fn drawn(&self) -> Result<Drawn, Error> {
        self.check()?;
        let words = self.words(0);
        let (threshold, kept) = self.decision();
        let mut block = [0; 16];
        // "expand 32-byte k"
        block[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        let seed = words.get_seed();
        let (key, _) = seed.as_chunks::<4>();
        block[4..12].iter_mut().zip(key).for_each(|(word, &key)| *word = u32::from_le_bytes(key));
        // The place is at least 36 bits from the lowest of the 64 that count blocks.
        block[13] = (self.place << (ELEMENTS - 36)) as u32;
        (block[14], block[15]) = (self.stream as u32, (self.stream >> 32) as u32);
        Ok(Drawn { block, threshold, kept })
    }

    /// The words of the elements from `element` on.
    fn words(&self, element: usize) -> ChaCha8Rng {
        let mut words = ChaCha8Rng::seed_from_u64(self.seed);
        words.set_stream(self.stream);
        words.set_word_pos((u128::from(self.place) << ELEMENTS) + element as u128);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, word by word.
    fn naive(mask: Mask, len: usize) -> Vec<f32> {
        let word = |element: usize| {
            let mut words = ChaCha8Rng::seed_from_u64(mask.seed);
            words.set_stream(mask.stream);
            words.set_word_pos(u128::from(mask.place) * (1 << 40) + element as u128);
            words.next_u32()
        };
        let threshold = (mask.rate * 4_294_967_296.0).floor();
        let kept = (1.0 / (1.0 - mask.rate)) as f32;
        let is_dropped = |element| f64::from(word(element)) < threshold;
        (0..len).map(|element| if is_dropped(element) { 0.0 } else { kept }).collect()
    }

    #[test]
    fn masks_are_the_naive_ones_for_any_number_of_threads() {
        for threads in [1, 2, 3] {
            let context = Context::builder().threads(threads).build().unwrap();
            for (seed, stream, place, rate) in
                [(1, (5 << 8) | 6, 7, 0.4), (u64::MAX, u64::MAX, PLACES - 1, 0.25), (3, 0, 0, 0.0)]
            {
                let mask = Mask { seed, stream, place, rate };
                for len in [0, 1, STRETCH - 1, STRETCH, 2 * STRETCH + 77] {
                    let mut found = vec![f32::NAN; len];
                    mask.fill(&context, 0, &mut found).unwrap();
                    let expected = naive(mask, len);
                    assert_eq!(found, expected, "{mask:?}, {len} elements");
                    let later = &mut found[len / 3..];
                    later.fill(f32::NAN);
                    mask.fill(&context, len / 3, later).unwrap();
                    assert_eq!(found, expected, "{mask:?}, from element {}", len / 3);
                }
            }
        }
    }

    #[test]
    fn the_share_of_dropped_elements_is_the_rate() {
        let mask = Mask { seed: 1, stream: 2, place: 3, rate: 0.4 };
        let mut found = vec![0.0; 40_000];
        mask.fill(&Context::new(), 0, &mut found).unwrap();
        let dropped = found.iter().filter(|&&element| element == 0.0).count();
        // Four standard deviations.
        assert!(dropped.abs_diff(16_000) < 392, "{dropped} of 40000");
        assert!(found.iter().all(|&element| element == 0.0 || element == (1.0 / 0.6_f64) as f32));
    }

    #[test]
    fn rates_and_places_out_of_range_are_refused() {
        let mask = Mask { seed: 1, stream: 2, place: 3, rate: 0.4 };
        let context = Context::new();
        for rate in [-0.1, 1.0, f64::NAN] {
            let refused = Mask { rate, ..mask }.fill(&context, 0, &mut []);
            assert!(matches!(refused, Err(Error::Rate { .. })), "{rate}");
        }
        let refused = Mask { place: PLACES, ..mask }.fill(&context, 0, &mut []);
        assert_eq!(refused, Err(Error::Place { place: PLACES, end: PLACES }));
    }
}
