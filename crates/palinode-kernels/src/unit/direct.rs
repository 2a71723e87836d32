//! Residuals by direct sums: slower than by the Winograd algorithms, and as accurate as sums in f32 are.

use crate::activation;
use crate::algorithm::Algorithm;
use crate::convolution::{ConvolutionKernel, Correlate, Pass, Plan, WeightGradient};
use crate::evaluation::{Advance, Cotangent, Evaluation, Increment, ParameterGradients, Purpose};
use crate::form::Form;
use crate::geometry::Geometry;
use crate::layout::Layout;
use crate::register::{first, set_first};
use crate::scratch::Arena;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Direct sums with one thread's memory for them. The geometry has 1×1 tiles.
pub(super) struct Direct<'m> {
    geometry: Geometry,
    plan: Plan,
    /// From padded images into padded images.
    pass: Pass,
    /// The packed weights of M, the convolution before σ, and of Mᵀ.
    weights: [&'m mut [f32]; 2],
    /// The array of Mᵀ, `[c, c, 3, 3]`.
    adjoint: &'m mut [f32],
    bias: &'m mut [f32],
    zeros: &'m mut [f32],
    /// M(x + a) + b, then its σ; padded images.
    hidden: &'m mut [f32],
    /// δ = σ′ ⊙ (the cotangent of σ); padded images.
    delta: &'m mut [f32],
    /// The result of a convolution, padded images.
    product: &'m mut [f32],
    /// The gradient with respect to M, `[kernel row][kernel column][input][output]`.
    taps: &'m mut [f32],
    /// The sum of δ per channel.
    delta_sums: &'m mut [f32],
    /// Sums per channel that a weight gradient takes but nothing needs.
    spare_sums: &'m mut [f32],
}

impl<'m> Direct<'m> {
    /// For chunks of up to `images` images.
    pub fn new(arena: &mut Arena<'m>, geometry: Geometry, images: usize, purpose: Purpose) -> Self {
        let Geometry { channels, depth, height, width, .. } = geometry;
        let convolution = ConvolutionKernel {
            images,
            inputs: channels,
            outputs: channels,
            size: [height, width],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            groups: 1,
            algorithm: Algorithm::Direct,
        };
        let (plan, layout) = (Plan::new(convolution, convolution.size), geometry.layout());
        let pass = Pass::forward(&plan).to([layout.origin, layout.row, layout.depth]);
        let padded = images * geometry.image_len();
        let gradients = if purpose.has_gradients() { 1 } else { 0 };
        Self {
            weights: [arena.zeros(pass.weights_len()), arena.zeros(pass.weights_len())],
            geometry,
            plan,
            pass,
            adjoint: arena.zeros(9 * channels * channels),
            bias: arena.zeros(depth),
            zeros: arena.zeros(depth),
            hidden: arena.zeros(padded),
            delta: arena.zeros(gradients * padded),
            product: arena.zeros(padded),
            taps: arena.zeros(gradients * 9 * depth * depth),
            delta_sums: arena.zeros(gradients * depth),
            spare_sums: arena.zeros(gradients * depth),
        }
    }

    /// Chooses the residual to evaluate, by the convolution before σ, `[c, c, 3, 3]`, and the bias, `[c]`.
    pub fn set(&mut self, kernel: &[f32], bias: &[f32]) {
        let Self { geometry, plan, pass, weights: [forward, backward], adjoint, .. } = self;
        Form::Layer.inner(true, geometry.channels, kernel, adjoint);
        pass.pack(plan, 0, kernel, forward);
        pass.pack(plan, 0, adjoint, backward);
        self.bias[..bias.len()].copy_from_slice(bias);
    }

    /// Increments a state by F(x).
    #[inline(always)]
    pub fn value<S: Simd>(&mut self, simd: S, at: Evaluation<'_>, advance: Advance<'_>) {
        let Self { geometry, pass, weights: [forward, backward], hidden, product, .. } = self;
        let on = Images { layout: geometry.layout(), images: at.images };
        simd.vectorize(on.correlate((pass, forward), self.bias, at.x, hidden));
        let rows = || geometry.inside_rows(at.images);
        simd.vectorize(Activate { at, rows: rows(), hidden, delta: &mut [] });
        let values = match at.form {
            Form::Symmetric => {
                simd.vectorize(on.correlate((pass, backward), self.zeros, hidden, product));
                product
            }
            Form::Layer | Form::Antisymmetric => hidden,
        };
        simd.vectorize(Apply { rows: rows(), values, advance });
    }

    /// Increments a state by F(x), with the same evaluation of F adds s·Jᵀv to the cotangent's gradient,
    /// and sets the gradients of s·⟨v, F(x)⟩ with respect to the parameters.
    #[inline(always)]
    pub fn vjp<S: Simd>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        Cotangent { v, scale, gradient }: Cotangent<'_>,
        advance: Advance<'_>,
        parameters: ParameterGradients<'_>,
    ) {
        let Self { geometry, pass, weights: [forward, backward], zeros, .. } = self;
        let Self { hidden, delta, product, taps, delta_sums, spare_sums, .. } = self;
        taps.fill(0.0);
        delta_sums.fill(0.0);
        let on = Images { layout: geometry.layout(), images: at.images };
        let rows = || geometry.inside_rows(at.images);

        simd.vectorize(on.correlate((pass, forward), self.bias, at.x, hidden));
        match at.form {
            Form::Symmetric => simd.vectorize(on.correlate((pass, forward), zeros, v, delta)),
            Form::Layer | Form::Antisymmetric => delta.copy_from_slice(&v[..delta.len()]),
        }
        simd.vectorize(Activate { at, rows: rows(), hidden, delta });
        let values = match at.form {
            Form::Symmetric => {
                simd.vectorize(on.correlate((pass, backward), zeros, hidden, product));
                simd.vectorize(on.gradient(v, hidden, taps, spare_sums));
                &*product
            }
            Form::Layer | Form::Antisymmetric => &*hidden,
        };
        simd.vectorize(Apply { rows: rows(), values, advance });
        simd.vectorize(on.gradient(at.x, delta, taps, delta_sums));
        simd.vectorize(on.correlate((pass, backward), zeros, delta, product));
        let advance = Advance { increment: Increment::plain(scale), x: product, state: gradient };
        simd.vectorize(Apply { rows: rows(), values: product, advance });

        self.plan.unpack(taps, parameters.inner);
        parameters.inner.iter_mut().for_each(|value| *value *= scale);
        let sums = parameters.bias.iter_mut().zip(&**delta_sums);
        sums.for_each(|(into, sum)| *into = scale * sum);
        for (channel, into) in parameters.input_bias.iter_mut().enumerate() {
            // (In f64, because these sums may cancel.)
            let depth = geometry.depth;
            let pixels = rows().flat_map(|row| product[row].iter().skip(channel).step_by(depth));
            *into = (f64::from(scale) * pixels.map(|&x| f64::from(x)).sum::<f64>()) as f32;
        }
    }
}

/// A chunk of padded images.
#[derive(Clone, Copy)]
struct Images {
    layout: Layout,
    images: usize,
}

impl Images {
    fn correlate<'a>(
        self,
        (pass, weights): (&'a Pass, &'a [f32]),
        bias: &'a [f32],
        from: &'a [f32],
        into: &'a mut [f32],
    ) -> Correlate<'a> {
        let Self { layout: Layout { image, .. }, images } = self;
        Correlate { pass, weights, bias, images, from: (from, image), into: (into, image) }
    }

    fn gradient<'a>(
        self,
        x: &'a [f32],
        y: &'a [f32],
        weight: &'a mut [f32],
        bias: &'a mut [f32],
    ) -> WeightGradient<'a> {
        let Self { layout, images } = self;
        let (layouts, y) = ((layout, layout), &y[layout.origin..]);
        WeightGradient { layouts, kernel: [3, 3], stride: [1, 1], images, x, y, weight, bias }
    }
}

/// σ of `hidden` in its place and, if there is a `delta`, σ′(hidden) ⊙ delta in the place of that.
struct Activate<'a, R> {
    at: Evaluation<'a>,
    /// Where the rows of pixels lie.
    rows: R,
    hidden: &'a mut [f32],
    delta: &'a mut [f32],
}

impl<R: Iterator<Item = Range<usize>>> WithSimd for Activate<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { at, rows, hidden, delta } = self;
        for row in rows {
            for place in row.step_by(S::F32_LANES) {
                let lanes = place..place + S::F32_LANES;
                let hidden = &mut hidden[lanes.clone()];
                let pre = first::<S>(hidden);
                if !delta.is_empty() {
                    let delta = &mut delta[lanes];
                    let v = first::<S>(delta);
                    set_first::<S>(delta, activation::vjp(simd, at.activation, pre, v));
                }
                set_first::<S>(hidden, activation::apply(simd, at.activation, pre));
            }
        }
    }
}

/// Increments a state by values, row by row.
struct Apply<'a, R> {
    rows: R,
    values: &'a [f32],
    advance: Advance<'a>,
}

impl<R: Iterator<Item = Range<usize>>> WithSimd for Apply<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, values, advance: Advance { increment, x, state } } = self;
        for row in rows {
            let (values, x) = (&values[row.clone()], &x[row.clone()]);
            increment.apply(simd, values, x, &mut state[row]);
        }
    }
}
