//! Whole units over slices: forward, and backward with all gradients, inside the cache.
//!
//! A chunk of a few images goes through a whole unit before the next one is touched, so its state
//! never leaves the cache; that is what reversibility buys on a CPU. Chunks are shared out among
//! threads, but their number and their order in every sum depend on the shape alone: the same input
//! gives the same bits for any number of threads.

use crate::activation::Activation;
use crate::algorithm::Algorithm;
use crate::context::Context;
use crate::error::Error;
use crate::evaluation::Purpose;
use crate::form::Form;
use crate::geometry::Geometry;
use crate::number::Number;
use crate::precision::Precision;
use crate::recurrence::{Update, check_updates};
use crate::schedule::{Ordered, for_each_chunk};
pub use crate::state::State;
use crate::sweep::{Backward, Chunk, Pull, Sweep};
use crate::token::Bf16;

/// One residual's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// K, `[c, c, 3, 3]` as `[out, in, row, column]`.
    pub kernel: &'a [f32],
    /// b, `[c]`.
    pub bias: &'a [f32],
    /// a, `[c]`; empty where there is none.
    pub input_bias: &'a [f32],
}

impl<'a> Parameters<'a> {
    /// Those of all residuals in one array: K, b and, with `input_bias`, a of one behind those of another.
    ///
    /// # Errors
    /// [`Error::Multiple`] if `all` does not hold whole residuals.
    pub fn split(all: &'a [f32], channels: usize, input_bias: bool) -> Result<Vec<Self>, Error> {
        let length = checked_len("parameters", all.len(), channels, input_bias)?;
        let split = |residual: &'a [f32]| {
            let (kernel, vectors) = residual.split_at(9 * channels * channels);
            let (bias, input_bias) = vectors.split_at(channels);
            Self { kernel, bias, input_bias }
        };
        Ok(all.chunks_exact(length).map(split).collect())
    }
}

/// Where the gradients with respect to one residual's parameters are added.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `[c, c, 3, 3]`.
    pub kernel: &'a mut [f32],
    /// `[c]`.
    pub bias: &'a mut [f32],
    /// `[c]`, or empty as the parameter.
    pub input_bias: &'a mut [f32],
}

impl<'a> Gradients<'a> {
    /// As [`Parameters::split`].
    ///
    /// # Errors
    /// [`Error::Multiple`] if `all` does not hold whole residuals.
    pub fn split(
        all: &'a mut [f32],
        channels: usize,
        input_bias: bool,
    ) -> Result<Vec<Self>, Error> {
        let length = checked_len("gradients", all.len(), channels, input_bias)?;
        let split = |residual: &'a mut [f32]| {
            let (kernel, vectors) = residual.split_at_mut(9 * channels * channels);
            let (bias, input_bias) = vectors.split_at_mut(channels);
            Self { kernel, bias, input_bias }
        };
        Ok(all.chunks_exact_mut(length).map(split).collect())
    }
}

fn residual_len(channels: usize, input_bias: bool) -> usize {
    channels * (9 * channels + if input_bias { 2 } else { 1 })
}

/// The length of one residual's parameters, of which `found` are whole multiples.
fn checked_len(
    what: &'static str,
    found: usize,
    channels: usize,
    input_bias: bool,
) -> Result<usize, Error> {
    if channels == 0 {
        return Err(Error::NoChannels);
    }
    let item = residual_len(channels, input_bias);
    if found.is_multiple_of(item) { Ok(item) } else { Err(Error::Multiple { what, item, found }) }
}

/// A unit of residuals of one form.
///
/// A [`State`] has two parts `[n, c, h, w]`, row-major: (Y, Z) or (X_{j−1}, X_j), in f32 or in
/// [fixed point](crate::Fixed). Residuals are computed in f32; [`Algorithm`] says how far from exact.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// Images n.
    pub images: usize,
    /// Channels c of one part of the state.
    pub channels: usize,
    /// Rows h.
    pub height: usize,
    /// Columns w.
    pub width: usize,
    /// The residuals' formula.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// How convolutions are computed; [`Algorithm::quickest`] unless exactness matters more.
    pub algorithm: Algorithm,
    /// What the factors of the products for gradients are rounded to.
    pub gradients: Precision,
    /// What each block does.
    pub updates: &'a [Update],
    /// The parameters of every residual.
    pub parameters: &'a [Parameters<'a>],
}

impl Unit<'_> {
    /// Replaces a state by the one after the last block.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape, or what [`check_updates`] says about the
    /// updates.
    pub fn forward<N: Number>(&self, context: &Context, state: State<'_, N>) -> Result<(), Error> {
        N::sweep(self, context, state, false)
    }

    /// Replaces the state after the last block by the one before the first.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn inverse<N: Number>(&self, context: &Context, state: State<'_, N>) -> Result<(), Error> {
        N::sweep(self, context, state, true)
    }

    /// Replaces the last state and the gradient with respect to it by the state before the first
    /// block, reconstructed, and the gradient with respect to that; adds the gradients with respect to
    /// the parameters to `parameters`, one for every residual.
    ///
    /// One evaluation of F per residual serves reconstruction and gradient.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`Error::Precision`] if gradients cannot be computed in the
    /// precision asked for.
    pub fn backward<N: Number>(
        &self,
        context: &Context,
        state: State<'_, N>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        N::backward(self, context, state, gradient, parameters)
    }

    pub(crate) fn sweep<N: Number>(
        &self,
        context: &Context,
        state: State<'_, N>,
        backwards: bool,
    ) -> Result<(), Error> {
        self.check(&state)?;
        context.install(|| {
            let scratch = || Chunk::new(self, Purpose::Values);
            for_each_chunk(state.chunks(self), scratch, |chunk, _, state| {
                context.token().dispatch(Sweep { chunk, state, backwards });
            });
        });
        Ok(())
    }

    pub(crate) fn pull_back<N: Number>(
        &self,
        context: &Context,
        state: State<'_, N>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) -> Result<(), Error> {
        self.check(&state)?;
        self.check(&gradient)?;
        self.check_gradients(&parameters)?;
        let purpose = Purpose::Gradients(self.bf16(context)?);
        let slots = parameters.into_iter().map(|of| vec![of.kernel, of.bias, of.input_bias]);
        let parameters = &Ordered::new(slots);
        context.install(|| {
            let chunks = state.chunks(self).into_iter().zip(gradient.chunks(self)).collect();
            let scratch = || {
                let term = vec![0.0; residual_len(self.channels, true)];
                (Chunk::new(self, purpose), term)
            };
            for_each_chunk(chunks, scratch, |(chunk, term), index, (state, gradient)| {
                let pull = Pull { chunk, term, index, parameters };
                context.token().dispatch(Backward { pull, state, gradient });
            });
        });
        Ok(())
    }

    /// The proof that the machine can compute gradients in the precision asked for.
    fn bf16(&self, context: &Context) -> Result<Option<Bf16>, Error> {
        match (self.gradients, self.algorithm) {
            (Precision::Bf16, Algorithm::Direct) => Err(Error::Precision {
                precision: self.gradients.name(),
                needed: "a Winograd algorithm",
                found: self.algorithm.name(),
            }),
            (precision, _) => context.bf16(precision),
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::new(self.channels, self.height, self.width, self.algorithm.tile())
    }

    /// Whether any residual has an a.
    pub(crate) fn has_input_bias(&self) -> bool {
        self.parameters.iter().any(|of| !of.input_bias.is_empty())
    }

    pub(crate) fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Images of a chunk: so many pixels that a state stays in the cache and transforming the weights
    /// for every chunk does not count; fewer where there would not be chunks for several threads. (How
    /// many threads there are must not matter: sums are taken chunk by chunk.)
    pub(crate) fn chunk_images(&self) -> usize {
        let (pixels, chunks) = (4096, if self.channels <= 32 { 4 } else { 2 });
        let area = (self.height * self.width).max(1);
        let least = usize::div_ceil(1024, area);
        let images = usize::div_ceil(pixels, area).min(self.images.div_ceil(chunks).max(least));
        images.clamp(1, self.images.div_ceil(2).max(1))
    }

    fn check<N>(&self, state: &State<'_, N>) -> Result<(), Error> {
        if self.channels == 0 {
            return Err(Error::NoChannels);
        }
        let size = [self.height, self.width];
        if size.contains(&0) {
            return Err(Error::EmptyImage { size });
        }
        state.check(self.images * self.image_len())?;
        let c = self.channels;
        for of in self.parameters {
            Error::check_len("a residual's kernel K", 9 * c * c, of.kernel.len())?;
            Error::check_len("a residual's bias b", c, of.bias.len())?;
            if !of.input_bias.is_empty() {
                Error::check_len("a residual's input bias a", c, of.input_bias.len())?;
            }
        }
        check_updates(self.updates, self.parameters.len())
    }

    fn check_gradients(&self, gradients: &[Gradients<'_>]) -> Result<(), Error> {
        Error::check_len("gradients of residuals", self.parameters.len(), gradients.len())?;
        for (into, of) in gradients.iter().zip(self.parameters) {
            Error::check_len("the gradient of a kernel K", of.kernel.len(), into.kernel.len())?;
            Error::check_len("the gradient of a bias b", of.bias.len(), into.bias.len())?;
            let (expected, found) = (of.input_bias.len(), into.input_bias.len());
            Error::check_len("the gradient of an input bias a", expected, found)?;
        }
        Ok(())
    }
}
