//! The residuals of a unit, evaluated on a chunk of images.

use super::block::Scaled;
use super::definition::UnitKernel;
use super::engine::Engine;
use super::parameters::Parameters;
use crate::evaluation::{Advance, Cotangent, Evaluation, ParameterGradients, Purpose};
use crate::geometry::Geometry;
use crate::grid::Grid;
use crate::scratch::Arena;
use pulp::Simd;

/// The residuals of a unit, with one thread's memory for their evaluation.
pub(super) struct Residuals<'u, 'm> {
    unit: &'u UnitKernel<'u>,
    geometry: Geometry,
    engine: Engine<'m>,
    /// The array of the convolution before σ, then the gradient with respect to it; `[c, c, 3, 3]`.
    inner: &'m mut [f32],
    /// x + a, padded images; empty if no residual has an a.
    shifted: &'m mut [f32],
    /// The gradients with respect to b and a; `[2c]`.
    vectors: &'m mut [f32],
}

impl<'u, 'm> Residuals<'u, 'm> {
    /// For chunks of `images` images at the most.
    pub fn new(
        arena: &mut Arena<'m>,
        unit: &'u UnitKernel<'u>,
        images: usize,
        purpose: Purpose,
    ) -> Self {
        let geometry = unit.geometry();
        let shifted = if unit.has_input_bias() { images * geometry.image_len() } else { 0 };
        let vectors = if purpose.has_gradients() { 2 * unit.channels } else { 0 };
        Self {
            unit,
            geometry,
            engine: Engine::new(arena, unit.algorithm, geometry, images, purpose),
            inner: arena.zeros(9 * unit.channels * unit.channels),
            shifted: arena.zeros(shifted),
            vectors: arena.zeros(vectors),
        }
    }

    /// The grid of the state.
    pub fn grid(&self) -> Option<Grid> {
        self.unit.grid
    }

    /// Increments `state` by a residual at `x`; padded images.
    #[inline(always)]
    pub fn value<S: Simd>(
        &mut self,
        simd: S,
        images: usize,
        residual: Scaled,
        advance: Advance<'_>,
    ) {
        self.prepare(simd, images, residual, advance.x);
        let at = evaluation(self.unit, residual, images, advance.x, self.shifted);
        self.engine.value(simd, at, advance);
    }

    /// The same, with scale·Jᵀv added to `gradient`, and the gradients with respect to K, b and, if there
    /// is one, a added to `term`.
    #[inline(always)]
    pub fn vjp<S: Simd>(
        &mut self,
        simd: S,
        images: usize,
        residual: Scaled,
        (v, gradient): (&[f32], &mut [f32]),
        advance: Advance<'_>,
        term: &mut [f32],
    ) {
        self.prepare(simd, images, residual, advance.x);
        let Self { unit, engine, inner, shifted, vectors, .. } = self;
        let (form, c) = (unit.form, unit.channels);
        let at = evaluation(unit, residual, images, advance.x, shifted);
        let vectors = &mut vectors[..c + unit.parameters[residual.index].input_bias.len()];
        let (bias, input_bias) = vectors.split_at_mut(c);
        let parameters = ParameterGradients { inner, bias, input_bias };
        let cotangent = Cotangent { v, scale: residual.scale, gradient };
        engine.vjp(simd, at, cotangent, advance, parameters);
        let (kernel_term, vector_terms) = term.split_at_mut(9 * c * c);
        form.add_gradient(residual.conjugate, c, inner, kernel_term);
        vector_terms.iter_mut().zip(vectors).for_each(|(term, found)| *term += *found);
    }

    /// Makes a residual the one that is evaluated, at `x`.
    #[inline(always)]
    fn prepare<S: Simd>(&mut self, simd: S, images: usize, residual: Scaled, x: &[f32]) {
        let UnitKernel { form, channels, parameters, .. } = *self.unit;
        let Parameters { kernel, bias, input_bias } = parameters[residual.index];
        form.inner(residual.conjugate, channels, kernel, self.inner);
        self.engine.set(simd, self.inner, bias);
        if !input_bias.is_empty() {
            self.shift(images, x, input_bias);
        }
    }

    /// Sets `shifted` to x + a inside the images.
    #[inline(always)]
    fn shift(&mut self, images: usize, x: &[f32], a: &[f32]) {
        let depth = self.geometry.depth;
        for pixels in self.geometry.inside_rows(images) {
            let into = &mut self.shifted[pixels.clone()];
            into.copy_from_slice(&x[pixels]);
            for pixel in into.chunks_exact_mut(depth) {
                pixel.iter_mut().zip(a).for_each(|(into, a)| *into += a);
            }
        }
    }
}

/// Where a residual is evaluated: at x if there is no a, else at what was `shifted`.
#[inline(always)]
fn evaluation<'x>(
    unit: &UnitKernel<'_>,
    residual: Scaled,
    images: usize,
    x: &'x [f32],
    shifted: &'x [f32],
) -> Evaluation<'x> {
    let has_input_bias = !unit.parameters[residual.index].input_bias.is_empty();
    let x = if has_input_bias { shifted } else { x };
    Evaluation { form: unit.form, activation: unit.activation, images, x }
}
