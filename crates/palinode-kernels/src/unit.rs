//! Whole units over slices: forward, and backward with all gradients, inside the cache.
//!
//! A chunk of a few images goes through a whole unit before the next one is touched, so its state
//! never leaves the cache; that is what reversibility buys on a CPU. Chunks are shared out among
//! threads, but their number and their order in every sum depend on the shape alone: the same input
//! gives the same bits for any number of threads.

use crate::geometry::Geometry;
use crate::isa::dispatch;
use crate::number::Number;
use crate::schedule::{Ordered, for_each_chunk};
pub use crate::state::State;
use crate::sweep::{Backward, Chunk, Pull, Sweep};
use crate::{Activation, Algorithm, Form, Precision};

/// One residual's part in a step: scale·F(·).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// What F is multiplied by.
    pub scale: f32,
    /// Which residual, counted over the unit.
    pub residual: usize,
    /// Whether the residual's conjugate is meant ([`Form::Layer`]; the other forms have none).
    pub conjugate: bool,
}

impl Term {
    /// scale·F with the residual itself.
    pub fn new(scale: f32, residual: usize) -> Self {
        Self { scale, residual, conjugate: false }
    }
}

/// What one block does to the state.
///
/// No residual may have a part in two steps; the two terms of one step may share theirs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Y⁺ = Y + a·F(Z), then Z⁺ = Z + b·G(Y⁺).
    TwoStream {
        /// a·F.
        first: Term,
        /// b·G.
        second: Term,
    },
    /// X_{j+1} = X_{j−1} + s·F(X_j).
    Previous(Term),
    /// X_{j+1} = X_j + ((X_j − X_{j−1}) + s·F(X_j)).
    Extrapolated(Term),
}

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
    /// # Panics
    /// If `all` does not hold whole residuals.
    pub fn split(all: &'a [f32], channels: usize, input_bias: bool) -> Vec<Self> {
        let length = residual_len(channels, input_bias);
        assert!(all.len().is_multiple_of(length), "a residual has {length} parameters");
        let split = |residual: &'a [f32]| {
            let (kernel, vectors) = residual.split_at(9 * channels * channels);
            let (bias, input_bias) = vectors.split_at(channels);
            Self { kernel, bias, input_bias }
        };
        all.chunks_exact(length).map(split).collect()
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
    /// # Panics
    /// If `all` does not hold whole residuals.
    pub fn split(all: &'a mut [f32], channels: usize, input_bias: bool) -> Vec<Self> {
        let length = residual_len(channels, input_bias);
        assert!(all.len().is_multiple_of(length), "a residual has {length} parameters");
        let split = |residual: &'a mut [f32]| {
            let (kernel, vectors) = residual.split_at_mut(9 * channels * channels);
            let (bias, input_bias) = vectors.split_at_mut(channels);
            Self { kernel, bias, input_bias }
        };
        all.chunks_exact_mut(length).map(split).collect()
    }
}

fn residual_len(channels: usize, input_bias: bool) -> usize {
    channels * (9 * channels + if input_bias { 2 } else { 1 })
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
    pub steps: &'a [Step],
    /// Of every residual.
    pub parameters: &'a [Parameters<'a>],
}

impl Unit<'_> {
    /// Replaces a state by the one after the last block.
    ///
    /// # Panics
    /// If an array's length does not fit the shape or a step names a residual that is not there.
    pub fn forward<N: Number>(&self, state: State<'_, N>) {
        N::sweep(self, state, false);
    }

    /// Replaces the state after the last block by the one before the first.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn inverse<N: Number>(&self, state: State<'_, N>) {
        N::sweep(self, state, true);
    }

    /// Replaces the last state and the gradient with respect to it by the state before the first
    /// block, reconstructed, and the gradient with respect to that; adds the parameters' gradients
    /// to `parameters`, one for every residual.
    ///
    /// One evaluation of F per residual serves reconstruction and gradient.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), and where the machine [cannot](Precision::check) round so.
    pub fn backward<N: Number>(
        &self,
        state: State<'_, N>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) {
        N::backward(self, state, gradient, parameters);
    }

    pub(crate) fn sweep<N: Number>(&self, state: State<'_, N>, backwards: bool) {
        self.check(&state);
        let scratch = || Chunk::new(self, false);
        for_each_chunk(state.chunks(self), scratch, |chunk, _, state| {
            dispatch(Sweep { chunk, state, backwards });
        });
    }

    pub(crate) fn pull_back<N: Number>(
        &self,
        state: State<'_, N>,
        gradient: State<'_>,
        parameters: Vec<Gradients<'_>>,
    ) {
        self.check(&state);
        self.check(&gradient);
        if let Err(reason) = self.gradients.check() {
            panic!("{reason}");
        }
        assert_eq!(parameters.len(), self.parameters.len(), "as many gradients as residuals");
        for (into, of) in parameters.iter().zip(self.parameters) {
            let lens = [into.kernel.len(), into.bias.len(), into.input_bias.len()];
            let expected = [of.kernel.len(), of.bias.len(), of.input_bias.len()];
            assert_eq!(lens, expected, "elements of a residual's gradients");
        }
        let slots = parameters.into_iter().map(|of| vec![of.kernel, of.bias, of.input_bias]);
        let parameters = &Ordered::new(slots);
        let chunks = state.chunks(self).into_iter().zip(gradient.chunks(self)).collect();
        let scratch = || {
            let term = vec![0.0; residual_len(self.channels, true)];
            (Chunk::new(self, true), term)
        };
        for_each_chunk(chunks, scratch, |(chunk, term), index, (state, gradient)| {
            let pull = Pull { chunk, term, index, parameters };
            dispatch(Backward { pull, state, gradient });
        });
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

    fn check<N>(&self, state: &State<'_, N>) {
        state.check(self.images * self.image_len());
        assert!(self.channels > 0, "a residual has channels");
        let c = self.channels;
        for of in self.parameters {
            assert_eq!((of.kernel.len(), of.bias.len()), (9 * c * c, c), "elements of K and b");
            assert!([0, c].contains(&of.input_bias.len()), "elements of a");
        }
        if let Err(reason) = check_steps(self.steps, self.parameters.len()) {
            panic!("{reason}");
        }
    }
}

/// Whether `steps` are those of a unit of `residuals` residuals.
///
/// # Errors
/// A sentence that names the first step with a residual that is not there or is another step's too.
pub fn check_steps(steps: &[Step], residuals: usize) -> Result<(), String> {
    let mut taken = vec![false; residuals];
    for step in steps {
        let (one, other) = match step {
            Step::TwoStream { first, second } => (first.residual, second.residual),
            Step::Previous(term) | Step::Extrapolated(term) => (term.residual, term.residual),
        };
        if one.max(other) >= residuals {
            return Err(format!("{step:?} names one of {residuals} residuals that is not there"));
        }
        if taken[one] || taken[other] {
            return Err(format!("{step:?} shares a residual with another step"));
        }
        (taken[one], taken[other]) = (true, true);
    }
    Ok(())
}
