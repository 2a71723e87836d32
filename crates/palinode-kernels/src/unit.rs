//! Whole units over slices: forward, and backward with all gradients, inside the cache.
//!
//! A chunk of a few images goes through a whole unit before the next one is touched, so its state
//! never leaves the cache; that is what reversibility buys on a CPU. Chunks are shared out among
//! threads, but their number and their order in every sum depend on the shape alone: the same input
//! gives the same bits for any number of threads.

use crate::isa::dispatch;
use crate::schedule::{Ordered, for_each_chunk};
use crate::sweep::{Backward, Chunk, Pull, Sweep};
use crate::winograd::Geometry;
use crate::{Activation, Form};

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

/// The two parts of a state, or of the gradient with respect to one.
#[derive(Debug)]
pub enum State<'a> {
    /// Side by side, `[n, 2c, h, w]`: the first half of the channels, then the second.
    Joined(&'a mut [f32]),
    /// In two arrays `[n, c, h, w]`.
    Apart(&'a mut [f32], &'a mut [f32]),
}

impl<'a> State<'a> {
    /// The same split into chunks of images.
    fn chunks(self, unit: &Unit<'_>) -> Vec<Self> {
        let length = (unit.chunk_images() * unit.image_len()).max(1);
        match self {
            Self::Joined(both) => both.chunks_mut(2 * length).map(Self::Joined).collect(),
            Self::Apart(first, second) => {
                let parts = first.chunks_mut(length).zip(second.chunks_mut(length));
                parts.map(|(first, second)| Self::Apart(first, second)).collect()
            }
        }
    }

    /// Both parts from their first image on, with the floats from one image to the next, for images
    /// of `image` floats.
    pub(crate) fn parts(&self, image: usize) -> ([&[f32]; 2], usize) {
        match self {
            Self::Joined(both) => ([both, &both[image..]], 2 * image),
            Self::Apart(first, second) => ([first, second], image),
        }
    }

    /// Part 0 or 1, as [`parts`](Self::parts) has it.
    pub(crate) fn part_mut(&mut self, part: usize, image: usize) -> (&mut [f32], usize) {
        match self {
            Self::Joined(both) => (&mut both[part * image..], 2 * image),
            Self::Apart(first, _) if part == 0 => (first, image),
            Self::Apart(_, second) => (second, image),
        }
    }
}

/// A unit of residuals of one form.
///
/// A [`State`] has two parts `[n, c, h, w]`, row-major: (Y, Z) or (X_{j−1}, X_j). Arithmetic is f32 by
/// Winograd F(4×4, 3×3): relative to the largest value, F is off by about 2e-6 and gradients by about
/// 5e-6 from exact arithmetic.
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
    /// Whether the residuals have an a.
    pub input_bias: bool,
    /// What each block does.
    pub steps: &'a [Step],
    /// For every residual K, `[c, c, 3, 3]` as `[out, in, row, column]`, behind it b, `[c]`, and behind
    /// that a, `[c]`, where there is one.
    pub parameters: &'a [f32],
}

impl Unit<'_> {
    /// Replaces a state by the one after the last block.
    ///
    /// # Panics
    /// If an array's length does not fit the shape or a step names a residual that is not there.
    pub fn forward(&self, state: State<'_>) {
        self.sweep(state, false);
    }

    /// Replaces the state after the last block by the one before the first.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn inverse(&self, state: State<'_>) {
        self.sweep(state, true);
    }

    fn sweep(&self, state: State<'_>, backwards: bool) {
        self.check(&state);
        let scratch = || Chunk::new(self, false);
        for_each_chunk(state.chunks(self), scratch, |chunk, _, state| {
            dispatch(Sweep { chunk, state, backwards });
        });
    }

    /// Replaces the last state and the gradient with respect to it by the state before the first
    /// block, reconstructed, and the gradient with respect to that; adds the parameters' gradients
    /// to `parameters`, which is laid out as the unit's own.
    ///
    /// One evaluation of F per residual serves reconstruction and gradient.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn backward(&self, state: State<'_>, gradient: State<'_>, parameters: &mut [f32]) {
        assert_eq!(parameters.len(), self.parameters.len(), "as many gradients as parameters");
        self.check(&state);
        self.check(&gradient);
        let parameters = &Ordered::new(parameters, self.residual_len());
        let chunks = state.chunks(self).into_iter().zip(gradient.chunks(self)).collect();
        let scratch = || (Chunk::new(self, true), vec![0.0; self.residual_len()]);
        for_each_chunk(chunks, scratch, |(chunk, term), index, (state, gradient)| {
            let pull = Pull { chunk, term, index, parameters };
            dispatch(Backward { pull, state, gradient });
        });
    }

    /// Parameters of one residual.
    pub(crate) fn residual_len(&self) -> usize {
        let vectors = if self.input_bias { 2 } else { 1 };
        self.channels * (self.channels * 9 + vectors)
    }

    pub(crate) fn geometry(&self) -> Geometry {
        Geometry::new(self.channels, self.height, self.width)
    }

    pub(crate) fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Images of a chunk: so many pixels that a state stays in the cache and transforming the weights
    /// for every chunk (the more work the wider the unit) does not count; fewer where there would not
    /// be chunks for several threads. (How many threads there are must not matter: sums are taken
    /// chunk by chunk.)
    pub(crate) fn chunk_images(&self) -> usize {
        let (pixels, chunks) = if self.channels <= 32 { (2048, 4) } else { (4096, 2) };
        let area = (self.height * self.width).max(1);
        let least = usize::div_ceil(1024, area);
        let images = usize::div_ceil(pixels, area).min(self.images.div_ceil(chunks).max(least));
        images.clamp(1, self.images.div_ceil(2).max(1))
    }

    fn check(&self, state: &State<'_>) {
        let part = self.images * self.image_len();
        match state {
            State::Joined(both) => assert_eq!(both.len(), 2 * part, "elements of a state"),
            State::Apart(first, second) => {
                assert_eq!([first.len(), second.len()], [part; 2], "elements of a state's parts");
            }
        }
        assert!(self.channels > 0, "a residual has channels");
        assert!(
            self.parameters.len().is_multiple_of(self.residual_len()),
            "a residual has {} parameters",
            self.residual_len()
        );
        let residuals = self.parameters.len() / self.residual_len();
        let mut taken = vec![false; residuals];
        for step in self.steps {
            let (one, other) = match step {
                Step::TwoStream { first, second } => (first.residual, second.residual),
                Step::Previous(term) | Step::Extrapolated(term) => (term.residual, term.residual),
            };
            assert!(one.max(other) < residuals, "{step:?} names one of {residuals} residuals");
            assert!(!taken[one] && !taken[other], "{step:?} shares a residual with another step");
            (taken[one], taken[other]) = (true, true);
        }
    }
}
