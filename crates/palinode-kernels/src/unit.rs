//! Whole units over slices: forward, and backward with all gradients, inside the cache.
//!
//! A chunk of a few images goes through a whole unit before the next one is touched, so its state
//! never leaves the cache; that is what reversibility buys on a CPU. Chunks are shared out among
//! threads, but their number and their order in every sum depend on the shape alone: the same input
//! gives the same bits for any number of threads.

use crate::aligned::Aligned;
use crate::layout::{Load, Store};
use crate::schedule::{Ordered, for_each_chunk};
use crate::winograd::{Geometry, Residual, SetWeights, Update, Weights, Workspace};
use pulp::{Arch, Simd, WithSimd};

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

/// A unit of residuals Kᵀσ(Kx + b) with σ = ReLU and 3×3 kernels.
///
/// States are two arrays `[n, c, h, w]`, row-major: (Y, Z) or (X_{j−1}, X_j). Arithmetic is f32 by
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
    pub fn forward(&self, first: &mut [f32], second: &mut [f32]) {
        self.check(&[first.len(), second.len()]);
        let length = self.chunk_len();
        let states = first.chunks_mut(length).zip(second.chunks_mut(length)).collect();
        let scratch = || Chunk::new(self, false);
        for_each_chunk(states, scratch, |chunk, _, (first, second)| {
            Arch::new().dispatch(Forward { chunk, first, second });
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
    pub fn backward(
        &self,
        state: (&mut [f32], &mut [f32]),
        gradient: (&mut [f32], &mut [f32]),
        parameters: &mut [f32],
    ) {
        assert_eq!(parameters.len(), self.parameters.len(), "as many gradients as parameters");
        self.check(&[state.0.len(), state.1.len(), gradient.0.len(), gradient.1.len()]);
        let length = self.chunk_len();
        let parameters = &Ordered::new(parameters, self.residual_len());
        let states = state.0.chunks_mut(length).zip(state.1.chunks_mut(length));
        let gradients = gradient.0.chunks_mut(length).zip(gradient.1.chunks_mut(length));
        let scratch = || (Chunk::new(self, true), vec![0.0; self.residual_len()]);
        for_each_chunk(
            states.zip(gradients).collect(),
            scratch,
            |(chunk, term), index, (state, gradient)| {
                let pull = Pull { chunk, term, index, parameters };
                Arch::new().dispatch(Backward { pull, state, gradient });
            },
        );
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

    /// Floats of a chunk: a few images, more where they are small, so that transforming the weights
    /// for every chunk does not count.
    fn chunk_len(&self) -> usize {
        let pixels = match self.channels {
            0..=32 => 2048,
            _ => 4096,
        };
        let images = usize::div_ceil(pixels, (self.height * self.width).max(1));
        images.clamp(1, self.images.max(1)) * self.image_len().max(1)
    }

    fn check(&self, lengths: &[usize]) {
        let state = self.images * self.image_len();
        assert!(lengths.iter().all(|&length| length == state), "a state has {state} elements");
        assert!(self.channels > 0, "a residual has channels");
        assert!(
            self.parameters.len().is_multiple_of(self.residual_len()),
            "a residual has {} parameters",
            self.residual_len()
        );
    }
}

/// One chunk of images, forwards.
struct Forward<'a, 'u> {
    chunk: &'a mut Chunk<'u>,
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { chunk, first, second } = self;
        let mut state = chunk.take(simd, [&*first, &*second]);
        for step in chunk.unit.steps {
            match *step {
                Step::TwoStream { first, second } => {
                    let [y, z] = &mut state;
                    chunk.advance(simd, first.1, Update::Add(first.0), z, y);
                    chunk.advance(simd, second.1, Update::Add(second.0), y, z);
                }
                Step::Previous { residual: (scale, residual) } => {
                    let [previous, current] = &mut state;
                    chunk.advance(simd, residual, Update::Add(scale), current, previous);
                    state.swap(0, 1);
                }
                Step::Extrapolated { residual: (scale, residual) } => {
                    let [previous, current] = &mut state;
                    chunk.advance(simd, residual, Update::Extrapolate(scale), current, previous);
                    state.swap(0, 1);
                }
            }
        }
        chunk.give(simd, state, [first, second]);
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
        let images = unit.chunk_len() / unit.image_len().max(1);
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

    /// Padded copies of arrays of the chunk's images; to be [given](Self::give) back.
    #[inline(always)]
    fn take<S: Simd, const N: usize>(&mut self, simd: S, arrays: [&[f32]; N]) -> [Aligned; N] {
        let (layout, stride) = (self.geometry.layout(), self.unit.image_len().max(1));
        self.images = arrays[0].len() / stride;
        let mut taken = [const { Aligned::EMPTY }; N];
        for (taken, plain) in taken.iter_mut().zip(arrays) {
            *taken = self.padded.pop().unwrap_or_default();
            simd.vectorize(Load { layout, plain, stride, padded: taken });
        }
        taken
    }

    /// Writes padded images back into plain arrays.
    #[inline(always)]
    fn give<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        taken: [Aligned; N],
        arrays: [&mut [f32]; N],
    ) {
        let (layout, stride) = (self.geometry.layout(), self.unit.image_len().max(1));
        for (padded, plain) in taken.into_iter().zip(arrays) {
            simd.vectorize(Store { layout, padded: &padded, plain, stride });
            self.padded.push(padded);
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
    state: (&'a mut [f32], &'a mut [f32]),
    gradient: (&'a mut [f32], &'a mut [f32]),
}

impl WithSimd for Backward<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut pull, state: (first, second), gradient: (g_first, g_second) } = self;
        let mut state = pull.chunk.take(simd, [&*first, &*second]);
        let mut slope = pull.chunk.take(simd, [&*g_first, &*g_second]);
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
        pull.chunk.give(simd, state, [first, second]);
        pull.chunk.give(simd, slope, [g_first, g_second]);
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
