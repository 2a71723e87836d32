//! What a unit is: its shape, its residuals and how it is computed.

use super::block::{Block, blocks};
use super::parameters::{Gradients, Parameters};
use super::state::StateSlices;
use crate::activation::Activation;
use crate::algorithm::Algorithm;
use crate::context::Context;
use crate::error::Error;
use crate::form::Form;
use crate::geometry::Geometry;
use crate::grid::Grid;
use crate::microbatch::Chunks;
use crate::precision::Precision;
use crate::recurrence::Update;
use crate::token::Bf16;

/// A reversible unit of residuals of one form.
///
/// | | |
/// |---|---|
/// | state | two parts `[n, c, h, w]`, row-major: (Y, Z) or (X_{j−1}, X_j); on a [grid](Grid), if there is one |
/// | residual F | a [`Form`] with a 3×3 kernel K, biases b and perhaps a; computed in f32 |
/// | block | an [`Update`] of the state by one or two residuals |
/// | [`forward`](Self::forward) | the state after the last block, from the state before the first |
/// | [`inverse`](Self::inverse) | the state before the first block, from the state after the last |
/// | [`backward`](Self::backward) | the same as `inverse`, with the gradients with respect to that state and to all parameters |
/// | accuracy | see [`Algorithm`] and [`Precision`] |
#[derive(Clone, Copy, Debug)]
pub struct UnitKernel<'a> {
    /// Images n.
    pub images: usize,
    /// Channels c of one part of the state.
    pub channels: usize,
    /// Rows h.
    pub height: usize,
    /// Columns w.
    pub width: usize,
    /// The formula of the residuals.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// How convolutions are computed; [`Algorithm::quickest`] unless accuracy matters more.
    pub algorithm: Algorithm,
    /// What the factors of the products for gradients are rounded to.
    pub gradients: Precision,
    /// The grid that the state lies on, so that it comes back to the bit; `None`: any f32.
    pub grid: Option<Grid>,
    /// What each block does.
    pub updates: &'a [Update],
    /// The parameters of every residual.
    pub parameters: &'a [Parameters<'a>],
}

impl UnitKernel<'_> {
    pub(super) fn geometry(&self) -> Geometry {
        Geometry::new(self.channels, self.height, self.width, self.algorithm.tile())
    }

    /// Whether any residual has an a.
    pub(super) fn has_input_bias(&self) -> bool {
        self.parameters.iter().any(|of| !of.input_bias.is_empty())
    }

    /// Numbers of one part of an image.
    pub(super) fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// The chunks for a computation without sums over the images.
    ///
    /// So many pixels that the state stays in the cache, and that transforming the weights once per chunk
    /// takes a small share of the time; fewer if there would be too few chunks for several threads. The
    /// number of threads must not matter, because sums are taken chunk by chunk.
    pub(super) fn chunks(&self) -> Chunks {
        let chunks = if self.channels <= 32 { 4 } else { 2 };
        let least = usize::div_ceil(1024, self.area());
        let images = self.most_images().min(self.images.div_ceil(chunks).max(least));
        Chunks::of_whole(self.images, images.clamp(1, self.images.div_ceil(2).max(1)))
    }

    /// The chunks for sums over the images: those of [`chunks`](Self::chunks), or of the context's micro-batches.
    pub(super) fn summed_chunks(&self, context: &Context) -> Chunks {
        match context.microbatches() {
            None => self.chunks(),
            Some(own) => Chunks::of_micro(self.images, own, self.most_images()),
        }
    }

    /// As many images as the cache holds.
    fn most_images(&self) -> usize {
        usize::div_ceil(4096, self.area())
    }

    /// Pixels of an image.
    fn area(&self) -> usize {
        (self.height * self.width).max(1)
    }

    /// The blocks, if the unit is one that the kernels can compute.
    pub(super) fn blocks(&self) -> Result<Vec<Block>, Error> {
        if self.channels == 0 {
            return Err(Error::NoChannels);
        }
        let size = [self.height, self.width];
        if size.contains(&0) {
            return Err(Error::EmptyImage { size });
        }
        self.parameters.iter().try_for_each(|of| of.check(self.channels))?;
        blocks(self.updates, self.parameters.len())
    }

    /// Checks that a state has the unit's shape.
    pub(super) fn check_state(&self, state: &StateSlices<'_>) -> Result<(), Error> {
        state.check(self.images * self.image_len())
    }

    /// Checks that gradients have the shapes of the parameters.
    pub(super) fn check_gradients(&self, gradients: &[Gradients<'_>]) -> Result<(), Error> {
        Error::check_len("gradients of residuals", self.parameters.len(), gradients.len())?;
        gradients.iter().zip(self.parameters).try_for_each(|(into, of)| into.check(of))
    }

    /// The proof that the machine can compute gradients in the precision asked for; none is needed for
    /// f32.
    pub(super) fn bf16(&self, context: &Context) -> Result<Option<Bf16>, Error> {
        match (self.gradients, self.algorithm) {
            (Precision::Bf16, Algorithm::Direct) => Err(Error::Precision {
                precision: self.gradients.name(),
                needed: "a Winograd algorithm",
                found: self.algorithm.name(),
            }),
            (precision, _) => context.bf16(precision),
        }
    }
}
