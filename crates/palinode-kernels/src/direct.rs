//! Residuals by direct convolutions: slower than Winograd's, and as exact as f32 sums are.

use crate::algorithm::Algorithm;
use crate::aligned::Aligned;
use crate::convolution::correlate::Correlate;
use crate::convolution::gradient::WeightGradient;
use crate::convolution::packing::Pass;
use crate::convolution::{Convolution, Plan};
use crate::evaluation::{Advance, Cotangent, Evaluation, Increment, ParameterSlopes, Purpose};
use crate::form::Form;
use crate::geometry::Geometry;
use crate::layout::Layout;
use crate::number::Number;
use crate::register::{load, store};
use crate::sigma::{apply, pull};
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Direct convolutions with one thread's memory for them; its geometry has 1×1 tiles.
pub(crate) struct Direct {
    geometry: Geometry,
    plan: Plan,
    /// The convolution M before σ and its adjoint.
    passes: [Pass; 2],
    bias: Aligned,
    zeros: Aligned,
    /// M(x + a) + b, then its σ; padded images.
    hidden: Aligned,
    /// δ = σ′ ⊙ (the cotangent of σ); padded images.
    delta: Aligned,
    /// A product, padded images.
    product: Aligned,
    /// The gradient of M, `[kernel row][kernel column][input][output]`.
    taps: Aligned,
    /// Sums per channel: δ, and what nobody wants.
    sums: [Aligned; 2],
    turned: Vec<f32>,
}

impl Direct {
    /// For chunks of up to `images` images.
    pub fn new(geometry: Geometry, images: usize, purpose: Purpose) -> Self {
        let gradients = purpose.has_gradients();
        let Geometry { channels, depth, height, width, .. } = geometry;
        let convolution = Convolution {
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
        let plan = Plan::new(convolution, convolution.size);
        let turned = vec![0.0; 9 * channels * channels];
        let padded = || Aligned::zeros(images * geometry.image_len());
        let for_gradients = |len: usize| Aligned::zeros(if gradients { len } else { 0 });
        Self {
            geometry,
            passes: [(); 2].map(|()| pass(&plan, &geometry, &turned)),
            plan,
            bias: Aligned::zeros(depth),
            zeros: Aligned::zeros(depth),
            hidden: padded(),
            delta: for_gradients(images * geometry.image_len()),
            product: padded(),
            taps: for_gradients(9 * depth * depth),
            sums: [(); 2].map(|()| for_gradients(depth)),
            turned,
        }
    }

    /// See [`Engine::set`](crate::engine::Engine::set).
    pub fn set(&mut self, kernel: &[f32], bias: &[f32]) {
        let Self { geometry, plan, turned, .. } = self;
        Form::Layer.inner(true, geometry.channels, kernel, turned);
        self.passes = [kernel, turned].map(|kernel| pass(plan, geometry, kernel));
        self.bias[..bias.len()].copy_from_slice(bias);
    }

    /// See [`Engine::value`](crate::engine::Engine::value).
    #[inline(always)]
    pub fn value<S: Simd, N: Number>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        advance: Advance<'_, N>,
    ) {
        let Self { geometry, passes, hidden, product, bias, zeros, .. } = self;
        let [forward, adjoint] = &*passes;
        let (layout, images) = (geometry.layout(), at.images);
        let on = Images { layout, images };
        simd.vectorize(on.correlate(forward, bias, at.x, hidden));
        let rows = || geometry.inside_rows(images);
        simd.vectorize(Activate { at, rows: rows(), hidden, delta: &mut [] });
        let value = match at.form {
            Form::Symmetric => {
                simd.vectorize(on.correlate(adjoint, zeros, hidden, product));
                product
            }
            Form::Layer | Form::Antisymmetric => hidden,
        };
        simd.vectorize(Apply { rows: rows(), values: value, into: advance });
    }

    /// See [`Engine::pull_back`](crate::engine::Engine::pull_back).
    #[inline(always)]
    pub fn pull_back<S: Simd, N: Number>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        Cotangent { v, scale, slope }: Cotangent<'_>,
        advance: Advance<'_, N>,
        parameters: ParameterSlopes<'_>,
    ) {
        let Self { geometry, plan, passes, .. } = self;
        let [forward, adjoint] = &*passes;
        let (layout, images) = (geometry.layout(), at.images);
        let on = Images { layout, images };
        let (hidden, delta, product) = (&mut *self.hidden, &mut *self.delta, &mut *self.product);
        let [bias_sums, unwanted] = &mut self.sums;
        let taps = &mut *self.taps;
        taps.fill(0.0);
        bias_sums.fill(0.0);
        let rows = || geometry.inside_rows(images);

        simd.vectorize(on.correlate(forward, &self.bias, at.x, &mut *hidden));
        match at.form {
            Form::Symmetric => simd.vectorize(on.correlate(forward, &self.zeros, v, &mut *delta)),
            Form::Layer | Form::Antisymmetric => delta.copy_from_slice(&v[..delta.len()]),
        }
        simd.vectorize(Activate { at, rows: rows(), hidden, delta });
        let value = match at.form {
            Form::Symmetric => {
                simd.vectorize(on.correlate(adjoint, &self.zeros, &*hidden, &mut *product));
                simd.vectorize(on.gradient(v, &*hidden, &mut *taps, unwanted));
                &*product
            }
            Form::Layer | Form::Antisymmetric => &*hidden,
        };
        simd.vectorize(Apply { rows: rows(), values: value, into: advance });
        let (weight, bias) = (&mut *taps, &mut **bias_sums);
        simd.vectorize(on.gradient(at.x, &*delta, weight, bias));
        simd.vectorize(on.correlate(adjoint, &self.zeros, &*delta, &mut *product));
        let into = Advance { increment: Increment::Add(scale), x: &*product, state: slope };
        simd.vectorize(Apply { rows: rows(), values: product, into });

        plan.unpack(taps, parameters.inner);
        parameters.inner.iter_mut().for_each(|value| *value *= scale);
        let sums = parameters.bias.iter_mut().zip(&**bias_sums);
        sums.for_each(|(into, sum)| *into = scale * sum);
        for (channel, into) in parameters.input_bias.iter_mut().enumerate() {
            // (These sums may cancel.)
            let pixels =
                rows().flat_map(|row| product[row].iter().skip(channel).step_by(layout.depth));
            *into = (f64::from(scale) * pixels.map(|&x| f64::from(x)).sum::<f64>()) as f32;
        }
    }
}

/// The correlation of padded images with a kernel `[c, c, 3, 3]`, into padded images.
fn pass(plan: &Plan, geometry: &Geometry, kernel: &[f32]) -> Pass {
    let layout = geometry.layout();
    plan.forward_pass(0, kernel).to([layout.origin, layout.row, layout.depth])
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
        pass: &'a Pass,
        bias: &'a [f32],
        from: &'a [f32],
        into: &'a mut [f32],
    ) -> Correlate<'a> {
        let Self { layout: Layout { image, .. }, images } = self;
        Correlate { pass, bias, images, from: (from, image), into: (into, image) }
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

/// σ of `hidden` in its place, and where there is a `delta`, σ′(hidden) ⊙ delta in that one's.
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
                let hidden = hidden[lanes.clone()].as_mut_ptr();
                // SAFETY: all are a vector long, as the ranges say.
                unsafe {
                    let pre = load::<S>(hidden);
                    if !delta.is_empty() {
                        let delta = delta[lanes].as_mut_ptr();
                        let slope = pull(simd, at.activation, pre, load::<S>(delta));
                        store::<S>(delta, slope);
                    }
                    store::<S>(hidden, apply(simd, at.activation, pre));
                }
            }
        }
    }
}

/// Updates a state with values, row by row.
struct Apply<'a, N, R> {
    rows: R,
    values: &'a [f32],
    into: Advance<'a, N>,
}

impl<N: Number, R: Iterator<Item = Range<usize>>> WithSimd for Apply<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, values, into: Advance { increment, x, state } } = self;
        for row in rows {
            let (values, x) = (&values[row.clone()], &x[row.clone()]);
            N::update(simd, increment, values, x, &mut state[row]);
        }
    }
}
