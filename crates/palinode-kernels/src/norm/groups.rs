//! The images that have statistics in common.

use crate::context::Context;
use crate::microbatch::{Microbatches, tree};
use crate::norm_statistics::NormStatistics;
use std::ops::Range;

/// Groups of images, in their order, that have statistics of their own.
pub struct Groups {
    of: NormStatistics,
    /// Those of this rank.
    microbatches: Option<Microbatches>,
    images: usize,
    /// The group of every image.
    of_image: Vec<usize>,
    /// Pixels of a channel in every group, on all ranks.
    pixels: Vec<f64>,
}

impl Groups {
    /// The groups of `images` images, of whose maps each has `area` pixels.
    pub fn new(over: NormStatistics, context: &Context, images: usize, area: usize) -> Self {
        let microbatches = context.microbatches();
        let pixels = |images: usize| (images * area).max(1) as f64;
        match (over, microbatches) {
            (NormStatistics::Microbatch, Some(own)) => {
                let sizes: Vec<usize> =
                    own.sizes(images).into_iter().filter(|&own| own > 0).collect();
                let of_image = sizes.iter().enumerate();
                Self {
                    of: over,
                    microbatches,
                    images,
                    of_image: of_image.flat_map(|(group, &images)| vec![group; images]).collect(),
                    pixels: sizes.into_iter().map(pixels).collect(),
                }
            }
            _ => Self {
                of: NormStatistics::Batch,
                microbatches,
                images,
                of_image: vec![0; images],
                pixels: vec![pixels(context.batch_images(images))],
            },
        }
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.pixels.len()
    }

    /// Whether each is a part of the batch, on one rank.
    pub fn are_parts(&self) -> bool {
        self.of == NormStatistics::Microbatch
    }

    /// The group of an image.
    pub fn of_image(&self, image: usize) -> usize {
        self.of_image[image]
    }

    /// Pixels of a channel in a group.
    pub fn pixels(&self, group: usize) -> f64 {
        self.pixels[group]
    }

    /// The sum over the images of a group.
    pub fn sum<T>(
        &self,
        group: usize,
        of: &mut impl FnMut(Range<usize>) -> T,
        add: &impl Fn(&mut T, T),
    ) -> T {
        match self.of {
            NormStatistics::Batch => tree(self.microbatches, 0..self.images, of, add),
            NormStatistics::Microbatch => {
                let first = self.of_image.partition_point(|&other| other < group);
                let end = self.of_image.partition_point(|&other| other <= group);
                of(first..end)
            }
        }
    }

    /// Sums over the images of groups, completed where these are on several ranks.
    pub fn add_ranks(&self, context: &Context, sums: &mut [f64]) {
        if !self.are_parts() {
            context.add_ranks(sums);
        }
    }

    /// The sum over the groups, by the tree of the micro-batches.
    pub fn sum_of_groups(&self, value: impl Fn(usize) -> f32) -> f32 {
        if !self.are_parts() {
            return value(0);
        }
        let mut of = |images: Range<usize>| match images.is_empty() {
            true => 0.0,
            false => value(self.of_image[images.start]),
        };
        tree(self.microbatches, 0..self.images, &mut of, &|sum, more| *sum += more)
    }
}
