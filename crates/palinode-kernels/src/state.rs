//! States as their owners hold them.

use crate::error::Error;
use crate::unit::Unit;

/// The two parts of a state, or of the gradient with respect to one.
#[derive(Debug)]
pub enum State<'a, N = f32> {
    /// Side by side, `[n, 2c, h, w]`: the first half of the channels, then the second.
    Joined(&'a mut [N]),
    /// In two arrays `[n, c, h, w]`.
    Apart(&'a mut [N], &'a mut [N]),
}

impl<'a, N> State<'a, N> {
    /// The same split into chunks of images.
    pub(crate) fn chunks(self, unit: &Unit<'_>) -> Vec<Self> {
        let length = (unit.chunk_images() * unit.image_len()).max(1);
        match self {
            Self::Joined(both) => both.chunks_mut(2 * length).map(Self::Joined).collect(),
            Self::Apart(first, second) => {
                let parts = first.chunks_mut(length).zip(second.chunks_mut(length));
                parts.map(|(first, second)| Self::Apart(first, second)).collect()
            }
        }
    }

    /// Both parts from their first image on, with the numbers from one image to the next, for images
    /// of `image` numbers.
    pub(crate) fn parts(&self, image: usize) -> ([&[N]; 2], usize) {
        match self {
            Self::Joined(both) => ([both, &both[image..]], 2 * image),
            Self::Apart(first, second) => ([first, second], image),
        }
    }

    /// Part 0 or 1, as [`parts`](Self::parts) has it.
    pub(crate) fn part_mut(&mut self, part: usize, image: usize) -> (&mut [N], usize) {
        match self {
            Self::Joined(both) => (&mut both[part * image..], 2 * image),
            Self::Apart(first, _) if part == 0 => (first, image),
            Self::Apart(_, second) => (second, image),
        }
    }

    /// Checks that each part has `part` numbers.
    pub(crate) fn check(&self, part: usize) -> Result<(), Error> {
        match self {
            Self::Joined(both) => Error::check_len("a state", 2 * part, both.len()),
            Self::Apart(first, second) => {
                Error::check_len("the first part of a state", part, first.len())?;
                Error::check_len("the second part of a state", part, second.len())
            }
        }
    }
}
