//! A chunk of images on its way through a unit, inside the cache.

use crate::aligned::Aligned;

use crate::engine::Engine;
use crate::evaluation::{Advance, Cotangent, Evaluation, Increment, ParameterSlopes, Purpose};
use crate::geometry::Geometry;
use crate::number::Number;
use crate::padded::Padded;
use crate::recurrence::{Drift, Role, Term, Update};
use crate::schedule::Ordered;
use crate::state::State;
use crate::unit::{Parameters, Unit};
use pulp::{Simd, WithSimd};

/// One chunk of images through all blocks, or back.
pub(crate) struct Sweep<'a, 'u, N> {
    pub chunk: &'a mut Chunk<'u, N>,
    pub state: State<'a, N>,
    pub backwards: bool,
}

impl<N: Number> WithSimd for Sweep<'_, '_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { chunk, mut state, backwards } = self;
        let mut parts = chunk.begin(simd, &state);
        let updates = chunk.unit.updates;
        for index in 0..updates.len() {
            let update = updates[if backwards { updates.len() - 1 - index } else { index }];
            chunk.update(simd, update, &mut parts, backwards);
        }
        chunk.states.give(simd, parts, &mut state);
    }
}

/// One thread's memory for the way of a chunk through a unit.
pub(crate) struct Chunk<'a, N> {
    unit: &'a Unit<'a>,
    geometry: Geometry,
    /// Images of the chunk at hand.
    images: usize,
    engine: Engine,
    /// The array of the convolution before σ, and the gradient with respect to it.
    inner: Vec<f32>,
    /// x + a in f32, padded images; nothing where that is x itself.
    shifted: Aligned,
    /// The chunk's state.
    states: Padded<N>,
    /// The gradient with respect to it.
    slopes: Padded<f32>,
}

impl<'a, N: Number> Chunk<'a, N> {
    pub fn new(unit: &'a Unit<'a>, purpose: Purpose) -> Self {
        let geometry = unit.geometry();
        let images = unit.chunk_images();
        let is_shifted = unit.has_input_bias() || N::as_f32(&[]).is_none();
        let shifted = if is_shifted { images * geometry.image_len() } else { 0 };
        Self {
            unit,
            geometry,
            images,
            engine: Engine::new(unit.algorithm, geometry, images, purpose),
            inner: vec![0.0; 9 * unit.channels * unit.channels],
            shifted: Aligned::zeros(shifted),
            states: Padded::new(geometry, images),
            slopes: Padded::new(geometry, if purpose.has_gradients() { images } else { 0 }),
        }
    }

    /// Padded copies of a chunk's state, from where its way begins.
    #[inline(always)]
    fn begin<S: Simd>(&mut self, simd: S, state: &State<'_, N>) -> [Aligned<N>; 2] {
        let image = self.unit.image_len();
        let (parts, stride) = state.parts(image);
        self.images = parts[0].len().div_ceil(stride.max(1));
        self.states.take(simd, state)
    }

    /// One block's update, or with `backwards` its inverse.
    #[inline(always)]
    fn update<S: Simd>(
        &mut self,
        simd: S,
        update: Update,
        parts: &mut [Aligned<N>; 2],
        backwards: bool,
    ) {
        let [first, second] = parts;
        match update {
            Update::TwoStream { first: f, second: g } if backwards => {
                self.advance(simd, g, Increment::Add(-scale(g)), first, second);
                self.advance(simd, f, Increment::Add(-scale(f)), second, first);
            }
            Update::TwoStream { first: f, second: g } => {
                self.advance(simd, f, Increment::Add(scale(f)), second, first);
                self.advance(simd, g, Increment::Add(scale(g)), first, second);
            }
            // (X_{j−1}, X_j) → (X_j, X_{j+1}), and (X_j, X_{j+1}) → (X_{j−1}, X_j).
            Update::TwoStep { drift, residual } => {
                let increment = two_step_increment(drift, residual, backwards);
                let (x, other) = if backwards { (first, second) } else { (second, first) };
                self.advance(simd, residual, increment, x, other);
                parts.swap(0, 1);
            }
            // `Unit` refuses it before a sweep begins.
            Update::OneStep { .. } => unreachable!("a one-step update has no inverse"),
        }
    }

    /// Makes a term's residual the one that is evaluated, at `x`.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, simd: S, term: Term, x: &[N]) {
        let unit = self.unit;
        let Parameters { kernel, bias, input_bias } = unit.parameters[term.residual];
        unit.form.inner(term.role == Role::Conjugate, unit.channels, kernel, &mut self.inner);
        self.engine.set(simd, &self.inner, bias);
        if !input_bias.is_empty() || N::as_f32(x).is_none() {
            self.shift(x, input_bias);
        }
    }

    /// The engine, what it is to evaluate, and the place for the gradient of the convolution before σ.
    #[inline(always)]
    fn evaluation<'x>(
        &'x mut self,
        term: Term,
        x: &'x [N],
    ) -> (&'x mut Engine, Evaluation<'x>, &'x mut [f32]) {
        let Self { unit, engine, inner, shifted, images, .. } = self;
        let is_shifted = !unit.parameters[term.residual].input_bias.is_empty();
        let x = N::as_f32(x).filter(|_| !is_shifted).unwrap_or(shifted);
        let Unit { form, activation, .. } = **unit;
        (engine, Evaluation { form, activation, images: *images, x }, inner)
    }

    /// `shifted` ← x + a inside the images; x where there is no a.
    #[inline(always)]
    fn shift(&mut self, x: &[N], a: &[f32]) {
        let depth = self.geometry.depth;
        for pixels in self.geometry.inside_rows(self.images) {
            let into = &mut self.shifted[pixels.clone()];
            into.iter_mut().zip(&x[pixels]).for_each(|(into, x)| *into = x.value());
            for pixel in into.chunks_exact_mut(depth) {
                pixel.iter_mut().zip(a).for_each(|(into, a)| *into += a);
            }
        }
    }

    /// Updates `state` with a term's F(x).
    #[inline(always)]
    fn advance<S: Simd>(
        &mut self,
        simd: S,
        term: Term,
        increment: Increment,
        x: &[N],
        state: &mut [N],
    ) {
        self.prepare(simd, term, x);
        let (engine, at, _) = self.evaluation(term, x);
        engine.value(simd, at, Advance { increment, x, state });
    }
}

/// What the residual of a two-step update, evaluated at the state between, does to X_{j−1} to make it
/// X_{j+1}, or `backwards`.
fn two_step_increment(drift: Drift, residual: Term, backwards: bool) -> Increment {
    match drift {
        // The extrapolation is its own inverse.
        Drift::Extrapolated => Increment::Extrapolate(scale(residual)),
        Drift::Previous if backwards => Increment::Add(-scale(residual)),
        Drift::Previous => Increment::Add(scale(residual)),
    }
}

/// The factor of a term in the kernels' arithmetic.
fn scale(term: Term) -> f32 {
    term.scale as f32
}

/// One chunk of images, backwards with all gradients.
pub(crate) struct Backward<'a, 'u, 'p, N> {
    pub pull: Pull<'a, 'u, 'p, N>,
    pub state: State<'a, N>,
    pub gradient: State<'a>,
}

impl<N: Number> WithSimd for Backward<'_, '_, '_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut pull, state: mut last, mut gradient } = self;
        let mut state = pull.chunk.begin(simd, &last);
        let mut slope = pull.chunk.slopes.take(simd, &gradient);
        for update in pull.chunk.unit.updates.iter().rev() {
            let ([first, second], [g_first, g_second]) = (&mut state, &mut slope);
            match *update {
                Update::TwoStream { first: f, second: g } => {
                    let back = Increment::Add(-scale(g));
                    pull.term.fill(0.0);
                    pull.back(simd, g, (&*first, &*g_second), (back, &mut *second), g_first);
                    if f.residual != g.residual {
                        pull.commit(g.residual);
                        pull.term.fill(0.0);
                    }
                    let back = Increment::Add(-scale(f));
                    pull.back(simd, f, (&*second, &*g_first), (back, first), g_second);
                    pull.commit(f.residual);
                }
                Update::TwoStep { drift, residual: term } => {
                    // (X_j, X_{j+1}) → (X_{j−1}, X_j)
                    let back = two_step_increment(drift, term, true);
                    pull.term.fill(0.0);
                    pull.back(simd, term, (&*first, &*g_second), (back, second), g_first);
                    pull.commit(term.residual);
                    if drift == Drift::Extrapolated {
                        for (slope, next) in g_first.iter_mut().zip(g_second.iter_mut()) {
                            *slope += 2.0 * *next;
                            *next = -*next;
                        }
                    }
                    state.swap(0, 1);
                    slope.swap(0, 1);
                }
                Update::OneStep { .. } => unreachable!("a one-step update has no inverse"),
            }
        }
        pull.chunk.states.give(simd, state, &mut last);
        pull.chunk.slopes.give(simd, slope, &mut gradient);
    }
}

/// One chunk's pull-backs: memory and what it commits to.
///
/// (A struct and not a closure: a closure would be compiled without the instruction set that its
/// surroundings were dispatched to.)
pub(crate) struct Pull<'a, 'u, 'p, N> {
    pub chunk: &'a mut Chunk<'u, N>,
    /// The chunk's share of one residual's gradient: K's, b's and, where there is one, a's.
    pub term: &'a mut [f32],
    /// The chunk's number.
    pub index: usize,
    pub parameters: &'a Ordered<'p>,
}

impl<N: Number> Pull<'_, '_, '_, N> {
    /// Updates a state with F(x) and `slope` with scale·Jᵀv; adds the parameters' gradients to `term`.
    #[inline(always)]
    fn back<S: Simd>(
        &mut self,
        simd: S,
        term: Term,
        (x, v): (&[N], &[f32]),
        (increment, state): (Increment, &mut [N]),
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
        let cotangent = Cotangent { v, scale: scale(term), slope };
        let advance = Advance { increment, x, state };
        engine.pull_back(simd, at, cotangent, advance, parameters);
        form.add_gradient(term.role == Role::Conjugate, c, inner, kernel);
        vectors.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }

    /// Adds `term` to the gradient of a residual, after all earlier chunks'.
    fn commit(&self, residual: usize) {
        self.parameters.commit(residual, self.index, self.term);
    }
}
