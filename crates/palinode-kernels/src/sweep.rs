//! A chunk of images on its way through a unit, inside the cache.

use crate::aligned::Aligned;
use crate::layout::{Load, Store};
use crate::schedule::Ordered;
use crate::unit::{State, Step, Term, Unit};
use crate::winograd::{
    Argument, Geometry, ParameterSlopes, Residual, SetWeights, Update, Weights, Workspace,
};
use pulp::{Simd, WithSimd};

/// One chunk of images through all blocks, or back.
pub(crate) struct Sweep<'a, 'u> {
    pub chunk: &'a mut Chunk<'u>,
    pub state: State<'a>,
    pub backwards: bool,
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
pub(crate) struct Chunk<'a> {
    unit: &'a Unit<'a>,
    geometry: Geometry,
    /// Images of the chunk at hand.
    images: usize,
    weights: Weights,
    /// The array of the convolution before σ, and the gradient with respect to it.
    inner: Vec<f32>,
    workspace: Workspace,
    /// x + a, padded images; nothing where there is no a.
    shifted: Aligned,
    /// Padded images with zero borders, for the chunk's state and slope.
    padded: Vec<Aligned>,
}

impl<'a> Chunk<'a> {
    pub fn new(unit: &'a Unit<'a>, gradients: bool) -> Self {
        let geometry = unit.geometry();
        let images = unit.chunk_images();
        let image = || Aligned::zeros(images * geometry.image_len());
        Self {
            unit,
            geometry,
            images,
            weights: Weights::zeros(&geometry),
            inner: vec![0.0; 9 * unit.channels * unit.channels],
            workspace: Workspace::new(&geometry, gradients),
            shifted: if unit.input_bias { image() } else { Aligned::default() },
            padded: (0..if gradients { 4 } else { 2 }).map(|_| image()).collect(),
        }
    }

    /// Padded copies of a chunk's state; to be [given](Self::give) back.
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S, state: &State<'_>) -> [Aligned; 2] {
        let layout = self.geometry.layout();
        let (parts, stride) = state.parts(self.unit.image_len());
        self.images = parts[0].len().div_ceil(stride.max(1));
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
                self.advance(simd, g, Update::Add(-g.scale), first, second);
                self.advance(simd, f, Update::Add(-f.scale), second, first);
            }
            Step::TwoStream { first: f, second: g } => {
                self.advance(simd, f, Update::Add(f.scale), second, first);
                self.advance(simd, g, Update::Add(g.scale), first, second);
            }
            // (X_{j−1}, X_j) → (X_j, X_{j+1}), and (X_j, X_{j+1}) → (X_{j−1}, X_j).
            Step::Previous(term) if backwards => {
                self.advance(simd, term, Update::Add(-term.scale), first, second);
                parts.swap(0, 1);
            }
            Step::Previous(term) => {
                self.advance(simd, term, Update::Add(term.scale), second, first);
                parts.swap(0, 1);
            }
            Step::Extrapolated(term) if backwards => {
                self.advance(simd, term, Update::Extrapolate(term.scale), first, second);
                parts.swap(0, 1);
            }
            Step::Extrapolated(term) => {
                self.advance(simd, term, Update::Extrapolate(term.scale), second, first);
                parts.swap(0, 1);
            }
        }
    }

    /// Makes a term's residual the one that is evaluated, at `x`.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, simd: S, term: Term, x: &[f32]) {
        let (unit, c) = (self.unit, self.unit.channels);
        let len = unit.residual_len();
        let parameters = &unit.parameters[term.residual * len..(term.residual + 1) * len];
        let (kernel, vectors) = parameters.split_at(9 * c * c);
        let (bias, input_bias) = vectors.split_at(c);
        unit.form.inner(term.conjugate, c, kernel, &mut self.inner);
        let Self { geometry, weights, .. } = self;
        simd.vectorize(SetWeights { geometry, kernel: &self.inner, bias, weights });
        if unit.input_bias {
            self.shift(x, input_bias);
        }
    }

    /// `shifted` ← x + a inside the images.
    #[inline(always)]
    fn shift(&mut self, x: &[f32], a: &[f32]) {
        let Geometry { depth, height, width, .. } = self.geometry;
        let (row, image) = (self.geometry.row_stride(), self.geometry.image_len());
        for index in 0..self.images * height {
            let start = index / height * image + (index % height + 1) * row + depth;
            let pixels = start..start + width * depth;
            let into = self.shifted[pixels.clone()].chunks_exact_mut(depth);
            for (into, x) in into.zip(x[pixels].chunks_exact(depth)) {
                for ((into, x), a) in into.iter_mut().zip(x).zip(a) {
                    *into = x + a;
                }
            }
        }
    }

    /// Updates `state` with a term's F(x).
    #[inline(always)]
    fn advance<S: Simd>(
        &mut self,
        simd: S,
        term: Term,
        update: Update,
        x: &[f32],
        state: &mut [f32],
    ) {
        self.prepare(simd, term, x);
        let Self { unit, geometry, weights, workspace, shifted, images, .. } = self;
        let (form, activation, images) = (unit.form, unit.activation, *images);
        let at = Argument { x, shifted: if unit.input_bias { shifted } else { x } };
        let residual = Residual { form, activation, geometry, weights, images };
        residual.value(simd, workspace, at, update, state);
    }
}

/// One chunk of images, backwards with all gradients.
pub(crate) struct Backward<'a, 'u, 'p> {
    pub pull: Pull<'a, 'u, 'p>,
    pub state: State<'a>,
    pub gradient: State<'a>,
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
                    let back = Update::Add(-g.scale);
                    pull.term.fill(0.0);
                    pull.back(simd, g, (&*first, &*g_second), (back, &mut *second), g_first);
                    if f.residual != g.residual {
                        pull.commit(g.residual);
                        pull.term.fill(0.0);
                    }
                    let back = Update::Add(-f.scale);
                    pull.back(simd, f, (&*second, &*g_first), (back, first), g_second);
                    pull.commit(f.residual);
                }
                Step::Previous(term) => {
                    // (X_j, X_{j+1}) → (X_{j−1}, X_j)
                    let back = Update::Add(-term.scale);
                    pull.term.fill(0.0);
                    pull.back(simd, term, (&*first, &*g_second), (back, second), g_first);
                    pull.commit(term.residual);
                    state.swap(0, 1);
                    slope.swap(0, 1);
                }
                Step::Extrapolated(term) => {
                    let back = Update::Extrapolate(term.scale);
                    pull.term.fill(0.0);
                    pull.back(simd, term, (&*first, &*g_second), (back, second), g_first);
                    pull.commit(term.residual);
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
pub(crate) struct Pull<'a, 'u, 'p> {
    pub chunk: &'a mut Chunk<'u>,
    /// The chunk's share of one residual's gradient: K's, b's and a's.
    pub term: &'a mut [f32],
    /// The chunk's number.
    pub index: usize,
    pub parameters: &'a Ordered<'p>,
}

impl Pull<'_, '_, '_> {
    /// Updates a state with F(x) and `slope` with scale·Jᵀv; adds the parameters' gradients to `term`.
    #[inline(always)]
    fn back<S: Simd>(
        &mut self,
        simd: S,
        term: Term,
        (x, v): (&[f32], &[f32]),
        state: (Update, &mut [f32]),
        slope: &mut [f32],
    ) {
        self.chunk.prepare(simd, term, x);
        let Chunk { unit, geometry, weights, inner, workspace, shifted, images, .. } =
            &mut *self.chunk;
        let (form, activation, images) = (unit.form, unit.activation, *images);
        let at = Argument { x, shifted: if unit.input_bias { shifted } else { x } };
        let residual = Residual { form, activation, geometry, weights, images };
        let c = unit.channels;
        let (mut bias, mut input_bias) = (vec![0.0; c], vec![0.0; c]);
        if !unit.input_bias {
            input_bias.clear();
        }
        let parameters = ParameterSlopes { inner, bias: &mut bias, input_bias: &mut input_bias };
        residual.pull_back(simd, workspace, (at, v), state, (term.scale, slope), parameters);
        let (kernel, vectors) = self.term.split_at_mut(9 * c * c);
        form.add_gradient(term.conjugate, c, inner, kernel);
        let found = bias.iter().chain(&input_bias);
        vectors.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }

    /// Adds `term` to the gradient of a residual, after all earlier chunks'.
    fn commit(&self, residual: usize) {
        self.parameters.commit(residual, self.index, self.term);
    }
}
