//! A chunk of images on its way through a unit, inside the cache.

use crate::aligned::Aligned;
use crate::engine::{Cotangent, Engine, Evaluation, ParameterSlopes};
use crate::geometry::Geometry;
use crate::layout::{Load, Store};
use crate::output::overwritten;
use crate::schedule::Ordered;
use crate::unit::{Parameters, State, Step, Term, Unit};
use crate::update::Update;
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
    engine: Engine,
    /// The array of the convolution before σ, and the gradient with respect to it.
    inner: Vec<f32>,
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
            engine: Engine::new(unit.algorithm, geometry, images, gradients),
            inner: vec![0.0; 9 * unit.channels * unit.channels],
            shifted: if unit.has_input_bias() { image() } else { Aligned::default() },
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
            let plain = overwritten(plain);
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
            Step::Previous(term) | Step::Extrapolated(term) => {
                let update = two_step_update(step, term, backwards);
                let (x, other) = if backwards { (first, second) } else { (second, first) };
                self.advance(simd, term, update, x, other);
                parts.swap(0, 1);
            }
        }
    }

    /// Makes a term's residual the one that is evaluated, at `x`.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, simd: S, term: Term, x: &[f32]) {
        let unit = self.unit;
        let Parameters { kernel, bias, input_bias } = unit.parameters[term.residual];
        unit.form.inner(term.conjugate, unit.channels, kernel, &mut self.inner);
        self.engine.set(simd, &self.inner, bias);
        if !input_bias.is_empty() {
            self.shift(x, input_bias);
        }
    }

    /// The engine, what it is to evaluate, and the place for the gradient of the convolution before σ.
    #[inline(always)]
    fn evaluation<'x>(
        &'x mut self,
        term: Term,
        x: &'x [f32],
    ) -> (&'x mut Engine, Evaluation<'x>, &'x mut [f32]) {
        let Self { unit, engine, inner, shifted, images, .. } = self;
        let is_shifted = !unit.parameters[term.residual].input_bias.is_empty();
        let at = Evaluation {
            form: unit.form,
            activation: unit.activation,
            images: *images,
            x,
            shifted: if is_shifted { shifted } else { x },
        };
        (engine, at, inner)
    }

    /// `shifted` ← x + a inside the images.
    #[inline(always)]
    fn shift(&mut self, x: &[f32], a: &[f32]) {
        let depth = self.geometry.depth;
        for pixels in self.geometry.inside_rows(self.images) {
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
        let (engine, at, _) = self.evaluation(term, x);
        engine.value(simd, at, update, state);
    }
}

/// What a two-step scheme's residual, evaluated at the state between, does to X_{j−1} to make it X_{j+1},
/// or `backwards`.
fn two_step_update(step: Step, term: Term, backwards: bool) -> Update {
    match step {
        // The extrapolation is its own inverse.
        Step::Extrapolated(_) => Update::Extrapolate(term.scale),
        _ if backwards => Update::Add(-term.scale),
        _ => Update::Add(term.scale),
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
                Step::Previous(term) | Step::Extrapolated(term) => {
                    // (X_j, X_{j+1}) → (X_{j−1}, X_j)
                    let back = two_step_update(*step, term, true);
                    pull.term.fill(0.0);
                    pull.back(simd, term, (&*first, &*g_second), (back, second), g_first);
                    pull.commit(term.residual);
                    if matches!(step, Step::Extrapolated(_)) {
                        for (slope, next) in g_first.iter_mut().zip(g_second.iter_mut()) {
                            *slope += 2.0 * *next;
                            *next = -*next;
                        }
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
    /// The chunk's share of one residual's gradient: K's, b's and, where there is one, a's.
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
        let (form, c) = (self.chunk.unit.form, self.chunk.unit.channels);
        let wanted = c + self.chunk.unit.parameters[term.residual].input_bias.len();
        let (engine, at, inner) = self.chunk.evaluation(term, x);
        let (kernel, vectors) = self.term.split_at_mut(9 * c * c);
        let mut found = vec![0.0; wanted];
        let (bias, input_bias) = found.split_at_mut(c);
        let parameters = ParameterSlopes { inner: &mut *inner, bias, input_bias };
        let cotangent = Cotangent { v, scale: term.scale, slope };
        engine.pull_back(simd, at, cotangent, state, parameters);
        form.add_gradient(term.conjugate, c, inner, kernel);
        vectors.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }

    /// Adds `term` to the gradient of a residual, after all earlier chunks'.
    fn commit(&self, residual: usize) {
        self.parameters.commit(residual, self.index, self.term);
    }
}
