//! 3×3 convolutions with as many outputs as inputs, by Winograd's algorithms.

use super::Convolution;
use crate::algorithm::Algorithm;
use crate::aligned::Aligned;
use crate::context::Context;
use crate::form::Form;
use crate::geometry::Geometry;
use crate::layout::{Load, Store};
use crate::output::Output;
use crate::schedule::{Ordered, for_each_chunk};
use crate::winograd::plain::{Gradient, Plain, PlainWeights, Value};
use pulp::{Simd, WithSimd};

/// One such convolution.
pub(super) struct Square {
    geometry: Geometry,
    /// Images of a chunk; it depends on the shape alone.
    images: usize,
}

impl Convolution {
    /// The same for Winograd's algorithms, if they are asked for and can compute it.
    pub(super) fn square(&self) -> Option<Square> {
        let fits = self.algorithm != Algorithm::Direct
            && self.kernel == [3, 3]
            && self.stride == [1, 1]
            && self.padding == [1, 1]
            && self.groups == 1
            && self.inputs == self.outputs;
        fits.then(|| {
            let [height, width] = self.size;
            let geometry = Geometry::new(self.inputs, height, width, self.algorithm.tile());
            // As many as fit into half of a core's second-level cache.
            let images = (64 * 1024 / geometry.image_len()).clamp(1, self.images.max(1));
            Square { geometry, images }
        })
    }
}

impl Square {
    pub fn value(
        &self,
        context: &Context,
        x: &[f32],
        kernel: &[f32],
        bias: Option<&[f32]>,
        y: &mut Output,
    ) {
        let zeros = vec![0.0; self.geometry.channels];
        let bias = bias.unwrap_or(&zeros);
        let weights = &PlainWeights::new(context.token(), &self.geometry, kernel, bias);
        let length = self.chunk_len();
        let chunks = x.chunks(length).zip(y.chunks_mut(length)).collect();
        for_each_chunk(
            chunks,
            || Scratch::new(self, false),
            |scratch, _, (x, y)| {
                context.token().dispatch(Forward { scratch, weights, x, y });
            },
        );
    }

    /// x = Kᵀy.
    pub fn adjoint(&self, context: &Context, y: &[f32], kernel: &[f32], x: &mut Output) {
        let mut turned = vec![0.0; kernel.len()];
        Form::Layer.inner(true, self.geometry.channels, kernel, &mut turned);
        self.value(context, y, &turned, None, x);
    }

    pub fn gradient(
        &self,
        context: &Context,
        x: &[f32],
        y: &[f32],
        kernel: &mut [f32],
        bias: Option<&mut [f32]>,
    ) {
        let len = kernel.len() + self.geometry.channels;
        let ordered = Ordered::new([[kernel].into_iter().chain(bias).collect()]);
        let length = self.chunk_len();
        let chunks = x.chunks(length).zip(y.chunks(length)).collect();
        let scratch = || (Scratch::new(self, true), vec![0.0; len]);
        for_each_chunk(chunks, scratch, |(scratch, term), index, (x, y)| {
            context.token().dispatch(Backward { scratch, x, y, term });
            ordered.commit(0, index, term);
        });
    }

    fn chunk_len(&self) -> usize {
        self.images * image_len(&self.geometry)
    }
}

/// Floats of an image without padding.
fn image_len(geometry: &Geometry) -> usize {
    geometry.channels * geometry.height * geometry.width
}

/// One thread's memory.
struct Scratch {
    geometry: Geometry,
    plain: Plain,
    /// Padded images of a chunk.
    x: Aligned,
    y: Aligned,
}

impl Scratch {
    fn new(square: &Square, gradients: bool) -> Self {
        let Square { geometry, images } = *square;
        let padded = || Aligned::zeros(images * geometry.image_len());
        Self { geometry, plain: Plain::new(geometry, gradients), x: padded(), y: padded() }
    }
}

struct Forward<'a> {
    scratch: &'a mut Scratch,
    weights: &'a PlainWeights,
    x: &'a [f32],
    y: &'a mut Output,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Scratch { geometry, plain, x, y } = self.scratch;
        let (layout, stride) = (geometry.layout(), image_len(geometry));
        let images = self.x.len() / stride;
        simd.vectorize(Load { layout, plain: self.x, stride, padded: x });
        simd.vectorize(Value { plain, weights: self.weights, images, x, y });
        simd.vectorize(Store { layout, padded: y, plain: self.y, stride });
    }
}

struct Backward<'a> {
    scratch: &'a mut Scratch,
    x: &'a [f32],
    y: &'a [f32],
    /// The kernel's gradient and the bias's.
    term: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Scratch { geometry, plain, x, y } = self.scratch;
        let (layout, stride) = (geometry.layout(), image_len(geometry));
        let images = self.x.len() / stride;
        simd.vectorize(Load { layout, plain: self.x, stride, padded: x });
        simd.vectorize(Load { layout, plain: self.y, stride, padded: y });
        let (kernel, bias) = self.term.split_at_mut(self.term.len() - geometry.channels);
        simd.vectorize(Gradient { plain, images, x, y, kernel, bias });
    }
}
