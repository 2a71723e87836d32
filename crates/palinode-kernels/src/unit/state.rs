//! States as their owners hold them, and their padded copies.

use crate::error::Error;
use crate::layout::{Layout, Load, Store};
use crate::microbatch::Chunks;
use pulp::Simd;

/// The two parts of a state, or of the gradient with respect to one.
#[derive(Debug)]
pub enum StateSlices<'a> {
    /// Side by side, `[n, 2c, h, w]`: the first half of the channels is the first part.
    Joined(&'a mut [f32]),
    /// In two arrays `[n, c, h, w]`.
    Apart(&'a mut [f32], &'a mut [f32]),
}

impl<'a> StateSlices<'a> {
    /// Splits a state of which each part has `image` numbers for every image.
    pub(super) fn chunks(self, chunks: &Chunks, image: usize) -> Vec<Self> {
        match self {
            Self::Joined(both) => {
                chunks.split_mut(both, 2 * image).into_iter().map(Self::Joined).collect()
            }
            Self::Apart(first, second) => {
                let first = chunks.split_mut(first, image).into_iter();
                let parts = first.zip(chunks.split_mut(second, image));
                parts.map(|(first, second)| Self::Apart(first, second)).collect()
            }
        }
    }

    /// The number of images whose parts have `image` numbers each.
    pub(super) fn images(&self, image: usize) -> usize {
        match self {
            Self::Joined(both) => both.len() / (2 * image),
            Self::Apart(first, _) => first.len() / image,
        }
    }

    /// Checks that each part has `part` numbers.
    pub(super) fn check(&self, part: usize) -> Result<(), Error> {
        match self {
            Self::Joined(both) => Error::check_len("a state", 2 * part, both.len()),
            Self::Apart(first, second) => {
                Error::check_len("the first part of a state", part, first.len())?;
                Error::check_len("the second part of a state", part, second.len())
            }
        }
    }
}

impl StateSlices<'_> {
    /// Copies both parts into padded images.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S, layout: Layout, padded: &mut [&mut [f32]; 2]) {
        let image = layout.plain_image();
        let (parts, stride): ([&[f32]; 2], _) = match self {
            Self::Joined(both) => ([both, &both[image..]], 2 * image),
            Self::Apart(first, second) => ([first, second], image),
        };
        for (plain, padded) in parts.into_iter().zip(padded) {
            simd.vectorize(Load { layout, plain, stride, padded });
        }
    }

    /// Copies padded images back.
    #[inline(always)]
    pub(super) fn store<S: Simd>(&mut self, simd: S, layout: Layout, padded: &[&mut [f32]; 2]) {
        let image = layout.plain_image();
        for (part, padded) in padded.iter().enumerate() {
            let (plain, stride) = match self {
                Self::Joined(both) => (&mut both[part * image..], 2 * image),
                Self::Apart(first, _) if part == 0 => (&mut **first, image),
                Self::Apart(_, second) => (&mut **second, image),
            };
            simd.vectorize(Store { layout, padded, plain, stride });
        }
    }
}
