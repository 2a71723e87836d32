//! Whole units over slices: forward, and backward with all gradients, inside the cache.
//!
//! A chunk of a few images goes through a whole unit before the next one is touched, so its state
//! never leaves the cache; that is what reversibility buys on a CPU. Chunks are shared out among
//! threads, but their number and their order in every sum depend on the shape alone: the same input
//! gives the same bits for any number of threads.

use crate::aligned::Aligned;
use crate::isa::dispatch;
use crate::layout::{Load, Store};
use crate::schedule::{Ordered, for_each_chunk};
use crate::winograd::{Geometry, Residual, SetWeights, Update, Weights, Workspace};
use pulp::{Simd, WithSimd};

/// What one block does to the state, with residuals counted over the unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Y⁺ = Y + a·F(Z), then Z⁺ = Z + b·G(Y⁺).
    TwoStream {
        /// (a, F).
        first: (f32, usize),
        /// (b, G).
        second: (f32, usize),
    },
    /// X_{j+1} = X_{j−1} + s·F(X_j).
    Previous {
        /// (s, F).
        residual: (f32, usize),
    },
    /// X_{j+1} = X_j + ((X_j − X_{j−1}) + s·F(X_j)).
    Extrapolated {
        /// (s, F).
        residual: (f32, usize),
    },
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
    fn chunks(self, unit: &SymmetricUnit<'_>) -> Vec<Self> {
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
    fn parts(&self, image: usize) -> ([&[f32]; 2], usize) {
        match self {
            Self::Joined(both) => ([both, &both[image..]], 2 * image),
            Self::Apart(first, second) => ([first, second], image),
        }
    }

    /// Part 0 or 1, as [`parts`](Self::parts) has it.
    fn part_mut(&mut self, part: usize, image: usize) -> (&mut [f32], usize) {
        match self {
            Self::Joined(both) => (&mut both[part * image..], 2 * image),
            Self::Apart(first, _) if part == 0 => (first, image),
            Self::Apart(_, second) => (second, image),
        }
    }
}

/// A unit of residuals Kᵀσ(Kx + b) with σ = ReLU and 3×3 kernels.
///
/// A [`State`] has two parts `[n, c, h, w]`, row-major: (Y, Z) or (X_{j−1}, X_j). Arithmetic is f32 by
/// Winograd F(4×4, 3×3): relative to the largest value, F is off by about 2e-6 and gradients by about
/// 5e-6 from exact arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct SymmetricUnit<'a> {
    /// Images n.
    pub images: usize,
    /// Channels c of one part of the state.
    pub channels: usize,
    /// Rows h.
    pub height: usize,
    /// Columns w.
    pub width: usize,
    /// What each block does.
    pub steps: &'a [Step],
    /// For every residual K, `[c, c, 3, 3]` as `[out, in, row, column]`, and behind it b, `[c]`.
    pub parameters: &'a [f32],
}

impl SymmetricUnit<'_> {
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
    fn residual_len(&self) -> usize {
        self.channels * self.channels * 9 + self.channels
    }

    fn geometry(&self) -> Geometry {
        Geometry::new(self.channels, self.height, self.width)
    }

    fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Images of a chunk: so many pixels that a state stays in the cache and transforming the weights
    /// for every chunk (the more work the wider the unit) does not count; fewer where there would not
    /// be chunks for several threads. (How many threads there are must not matter: sums are taken
    /// chunk by chunk.)
    fn chunk_images(&self) -> usize {
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
    }
}

/// One chunk of images through all blocks, or back.
struct Sweep<'a, 'u> {
    chunk: &'a mut Chunk<'u>,
    state: State<'a>,
    backwards: bool,
}

impl WithSimd for Sweep<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { chunk, mut state, backwards } = self;
        let mut parts = chunk.take(simd, &state);
        let steps = chunk.unit.steps;
        for index in 0..steps.len() {
            let step = steps[if backwards { steps.len() - 1 - index } else { index }];
            chunk.step(simd, step, &mut parts, backwards);
        }
        chunk.give(simd, parts, &mut state);
    }
}

/// One thread's memory for the way of a chunk through a unit.
struct Chunk<'a> {
    unit: &'a SymmetricUnit<'a>,
    geometry: Geometry,
    /// Images of the chunk at hand.
    images: usize,
    weights: Weights,
    workspace: Workspace,
    /// Padded images with zero borders, for the chunk's state and slope.
    padded: Vec<Aligned>,
}

impl<'a> Chunk<'a> {
    fn new(unit: &'a SymmetricUnit<'a>, gradients: bool) -> Self {
        let geometry = unit.geometry();
        let images = unit.chunk_images();
        let image = || Aligned::zeros(images * geometry.image_len());
        Self {
            unit,
            geometry,
            images,
            weights: Weights::zeros(&geometry),
            workspace: Workspace::new(&geometry, gradients),
            padded: (0..if gradients { 4 } else { 2 }).map(|_| image()).collect(),
        }
    }

    /// Padded copies of a chunk's state; to be [given](Self::give) back.
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, state: &State<'_>) -> [Aligned; 2] {
        let layout = self.geometry.layout();
        let (parts, stride) = state.parts(self.unit.image_len());
        self.images = parts[0].len() / stride.max(1);
        parts.map(|plain| {
            let mut padded = self.padded.pop().unwrap_or_default();
            simd.vectorize(Load { layout, plain, stride, padded: &mut padded });
            padded
        })
    }

    /// Writes padded images back into a state.
    #[inline(always)]
    fn give<S: Simd>(&mut self, simd: S, parts: [Aligned; 2], state: &mut State<'_>) {
        let layout = self.geometry.layout();
        for (part, padded) in parts.into_iter().enumerate() {
            let (plain, stride) = state.part_mut(part, self.unit.image_len());
            simd.vectorize(Store { layout, padded: &padded, plain, stride });
            self.padded.push(padded);
        }
    }

    /// One block's update, or with `backwards` its inverse.
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, step: Step, parts: &mut [Aligned; 2], backwards: bool) {
        let [first, second] = parts;
        match step {
            Step::TwoStream { first: f, second: g } if backwards => {
                self.advance(simd, g.1, Update::Add(-g.0), first, second);
                self.advance(simd, f.1, Update::Add(-f.0), second, first);
            }
            Step::TwoStream { first: f, second: g } => {
                self.advance(simd, f.1, Update::Add(f.0), second, first);
                self.advance(simd, g.1, Update::Add(g.0), first, second);
            }
            // (X_{j−1}, X_j) → (X_j, X_{j+1}), and (X_j, X_{j+1}) → (X_{j−1}, X_j).
            Step::Previous { residual: (scale, residual) } if backwards => {
                self.advance(simd, residual, Update::Add(-scale), first, second);
                parts.swap(0, 1);
            }
            Step::Previous { residual: (scale, residual) } => {
                self.advance(simd, residual, Update::Add(scale), second, first);
                parts.swap(0, 1);
            }
            Step::Extrapolated { residual: (scale, residual) } if backwards => {
                self.advance(simd, residual, Update::Extrapolate(scale), first, second);
                parts.swap(0, 1);
            }
            Step::Extrapolated { residual: (scale, residual) } => {
                self.advance(simd, residual, Update::Extrapolate(scale), second, first);
                parts.swap(0, 1);
            }
        }
    }

    #[inline(always)]
    fn set_weights<S: Simd>(&mut self, simd: S, residual: usize) {
        let len = self.unit.residual_len();
        let parameters = &self.unit.parameters[residual * len..(residual + 1) * len];
        let (kernel, bias) = parameters.split_at(len - self.unit.channels);
        let Self { geometry, weights, .. } = self;
        simd.vectorize(SetWeights { geometry, kernel, bias, weights });
    }

    /// Updates `state` with F(x).
    #[inline(always)]
    fn advance<S: Simd>(
        &mut self,
        simd: S,
        residual: usize,
        update: Update,
        x: &[f32],
        state: &mut [f32],
    ) {
        self.set_weights(simd, residual);
        let Self { geometry, weights, workspace, images, .. } = self;
        let images = *images;
        Residual { geometry, weights, images }.value(simd, workspace, x, update, state);
    }
}

/// One chunk of images, backwards.
struct Backward<'a, 'u, 'p> {
    pull: Pull<'a, 'u, 'p>,
    state: State<'a>,
    gradient: State<'a>,
}

impl WithSimd for Backward<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut pull, state: mut last, mut gradient } = self;
        let mut state = pull.chunk.take(simd, &last);
        let mut slope = pull.chunk.take(simd, &gradient);
        for step in pull.chunk.unit.steps.iter().rev() {
            let ([first, second], [g_first, g_second]) = (&mut state, &mut slope);
            match *step {
                Step::TwoStream { first: f, second: g } => {
                    let back = Update::Add(-g.0);
                    pull.back(simd, g, (&*first, &*g_second), (back, &mut *second), g_first);
                    let back = Update::Add(-f.0);
                    pull.back(simd, f, (&*second, &*g_first), (back, first), g_second);
                }
                Step::Previous { residual } => {
                    // (X_j, X_{j+1}) → (X_{j−1}, X_j)
                    let back = Update::Add(-residual.0);
                    pull.back(simd, residual, (&*first, &*g_second), (back, second), g_first);
                    state.swap(0, 1);
                    slope.swap(0, 1);
                }
                Step::Extrapolated { residual } => {
                    let back = Update::Extrapolate(residual.0);
                    pull.back(simd, residual, (&*first, &*g_second), (back, second), g_first);
                    for (slope, next) in g_first.iter_mut().zip(g_second.iter_mut()) {
                        *slope += 2.0 * *next;
                        *next = -*next;
                    }
                    state.swap(0, 1);
                    slope.swap(0, 1);
                }
            }
        }
        pull.chunk.give(simd, state, &mut last);
        pull.chunk.give(simd, slope, &mut gradient);
    }
}

/// One chunk's pull-backs: memory and what it commits to.
///
/// (A struct and not a closure: a closure would be compiled without the instruction set that its
/// surroundings were dispatched to.)
struct Pull<'a, 'u, 'p> {
    chunk: &'a mut Chunk<'u>,
    /// The chunk's share of one residual's gradient: K's and b's.
    term: &'a mut [f32],
    /// The chunk's number.
    index: usize,
    parameters: &'a Ordered<'p>,
}

impl Pull<'_, '_, '_> {
    /// Updates a state with F(x) and `slope` with scale·Jᵀv; commits the parameters' gradients.
    #[inline(always)]
    fn back<S: Simd>(
        &mut self,
        simd: S,
        (scale, residual): (f32, usize),
        at: (&[f32], &[f32]),
        state: (Update, &mut [f32]),
        slope: &mut [f32],
    ) {
        self.chunk.set_weights(simd, residual);
        let Chunk { geometry, weights, workspace, images, .. } = &mut *self.chunk;
        let kernel_len = self.term.len() - geometry.channels;
        let (kernel, bias) = self.term.split_at_mut(kernel_len);
        let images = *images;
        let residual_at = Residual { geometry, weights, images };
        residual_at.pull_back(simd, workspace, at, state, (scale, slope), (kernel, bias));
        self.parameters.commit(residual, self.index, self.term);
    }
}
