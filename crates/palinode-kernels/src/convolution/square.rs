//! 3×3 convolutions with as many outputs as inputs, by the Winograd algorithms.

use super::shape::ConvolutionKernel;
use crate::algorithm::Algorithm;
use crate::context::Context;
use crate::form::Form;
use crate::geometry::Geometry;
use crate::layout::{Load, Slot, Store};
use crate::microbatch::Chunks;
use crate::schedule::{Ordered, Work, bytes_for, for_each_chunk};
use crate::scratch::Arena;
use crate::token::Token;
use crate::winograd::{Plain, PlainGradient, PlainValue, SetWeights, Weights};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// The shape of such a convolution.
#[derive(Clone, Copy)]
pub(super) struct Square {
    geometry: Geometry,
    /// Images of a chunk; the number depends on the shape alone.
    images: usize,
}

impl Square {
    /// None if the shape is another one, or a Winograd algorithm is not asked for.
    pub fn of(shape: &ConvolutionKernel) -> Option<Self> {
        let fits = shape.algorithm != Algorithm::Direct
            && shape.kernel == [3, 3]
            && shape.stride == [1, 1]
            && shape.padding == [1, 1]
            && shape.groups == 1
            && shape.inputs == shape.outputs;
        fits.then(|| {
            let [height, width] = shape.size;
            let geometry = Geometry::new(shape.inputs, height, width, shape.algorithm.tile());
            // As many as fit into half of a core's second-level cache.
            let images = (64 * 1024 / geometry.image_len()).clamp(1, shape.images.max(1));
            Self { geometry, images }
        })
    }

    /// Sets `y` to the convolution of `x`.
    pub fn value<T: Slot>(
        &self,
        context: &Context,
        x: &[f32],
        kernel: &[f32],
        bias: Option<&[f32]>,
        y: &mut [T],
    ) {
        let geometry = &self.geometry;
        let mut slab = context.scratch().lend(|arena| Weights::forward(arena, geometry));
        let mut weights = Weights::forward(&mut slab.arena(), geometry);
        let weights = &mut weights;
        context.token().dispatch(SetWeights { geometry, kernel, bias, weights });
        let length = self.chunk_len();
        let chunks = x.chunks(length).zip(y.chunks_mut(length)).collect();
        let work = Value { square: *self, weights, slots: PhantomData };
        for_each_chunk(context, &work, chunks);
    }

    /// Sets `x` to Kᵀy.
    pub fn adjoint<T: Slot>(&self, context: &Context, y: &[f32], kernel: &[f32], x: &mut [T]) {
        let len = kernel.len();
        let mut slab = context.scratch().lend(|arena| arena.zeros::<f32>(len));
        let adjoint = slab.arena().zeros(len);
        Form::Layer.inner(true, self.geometry.channels, kernel, adjoint);
        self.value(context, y, adjoint, None, x);
    }

    /// Adds the gradients with respect to kernel and bias.
    pub fn gradient(
        &self,
        context: &Context,
        x: &[f32],
        y: &[f32],
        kernel: &mut [f32],
        bias: Option<&mut [f32]>,
    ) {
        let images = x.len() / self.image_len();
        let own = self.summed_chunks(context, images);
        let length = self.image_len();
        let chunks = own.split(x, length).into_iter().zip(own.split(y, length)).collect();
        let sums = Ordered::new([[kernel, bias.unwrap_or(&mut [])]]).in_microbatches(&own.ends);
        for_each_chunk(context, &Gradient { square: *self, sums }, chunks);
    }

    /// Bytes of working memory of [`gradient`](Self::gradient) for `images` images.
    pub fn scratch_bytes(&self, context: &Context, images: usize) -> usize {
        let work = Gradient { square: *self, sums: Ordered::new([]) };
        bytes_for(context, &work, self.summed_chunks(context, images).images.len())
    }

    /// The chunks of a batch for sums over its images.
    fn summed_chunks(&self, context: &Context, images: usize) -> Chunks {
        Chunks::of(context.microbatches(), images, self.images)
    }

    /// Numbers of a chunk.
    fn chunk_len(&self) -> usize {
        self.images * self.image_len()
    }

    /// Numbers of an image without padding.
    fn image_len(&self) -> usize {
        self.geometry.layout().plain_image()
    }
}

/// One thread's memory.
struct Memory<'m> {
    plain: Plain<'m>,
    /// Padded images of a chunk.
    x: &'m mut [f32],
    y: &'m mut [f32],
}

impl<'m> Memory<'m> {
    fn carve(arena: &mut Arena<'m>, square: &Square, gradients: bool) -> Self {
        let padded = square.images * square.geometry.image_len();
        Self {
            plain: Plain::new(arena, square.geometry, gradients),
            x: arena.zeros(padded),
            y: arena.zeros(padded),
        }
    }
}

/// All chunks of a batch: y = Kx + b.
struct Value<'a, 'w, 'c, T> {
    square: Square,
    weights: &'a Weights<'w>,
    slots: PhantomData<fn(&'c mut T)>,
}

impl<'c, T: Slot> Work for Value<'_, '_, 'c, T> {
    type Chunk = (&'c [f32], &'c mut [T]);
    type Memory<'m> = Memory<'m>;

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Memory<'m> {
        Memory::carve(arena, &self.square, false)
    }

    fn run(&self, token: Token, memory: &mut Memory<'_>, _: usize, (x, y): Self::Chunk) {
        token.dispatch(ValueChunk { square: &self.square, weights: self.weights, memory, x, y });
    }
}

struct ValueChunk<'a, 'w, 'm, T> {
    square: &'a Square,
    weights: &'a Weights<'w>,
    memory: &'a mut Memory<'m>,
    x: &'a [f32],
    y: &'a mut [T],
}

impl<T: Slot> WithSimd for ValueChunk<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { square, weights, memory: Memory { plain, x, y }, .. } = self;
        let (layout, stride) = (square.geometry.layout(), square.image_len());
        let images = self.x.len() / stride;
        simd.vectorize(Load { layout, plain: self.x, stride, padded: x });
        simd.vectorize(PlainValue { plain, weights, images, x, y });
        simd.vectorize(Store { layout, padded: y, plain: self.y, stride });
    }
}

/// All chunks of a batch: the gradients with respect to K and b.
struct Gradient<'a> {
    square: Square,
    sums: Ordered<'a, 2>,
}

impl<'a> Work for Gradient<'a> {
    type Chunk = (&'a [f32], &'a [f32]);
    /// With the chunk's share of the gradients with respect to K and b.
    type Memory<'m> = (Memory<'m>, &'m mut [f32]);

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Self::Memory<'m> {
        let c = self.square.geometry.channels;
        (Memory::carve(arena, &self.square, true), arena.zeros(9 * c * c + c))
    }

    fn run(
        &self,
        token: Token,
        (memory, term): &mut Self::Memory<'_>,
        index: usize,
        (x, y): Self::Chunk,
    ) {
        token.dispatch(GradientChunk { square: &self.square, memory, x, y, term });
        self.sums.commit(0, index, term);
    }

    fn abandon(&self) {
        self.sums.abandon();
    }
}

struct GradientChunk<'a, 'm> {
    square: &'a Square,
    memory: &'a mut Memory<'m>,
    x: &'a [f32],
    y: &'a [f32],
    term: &'a mut [f32],
}

impl WithSimd for GradientChunk<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { square, memory: Memory { plain, x, y }, term, .. } = self;
        let (layout, stride) = (square.geometry.layout(), square.image_len());
        let images = self.x.len() / stride;
        simd.vectorize(Load { layout, plain: self.x, stride, padded: x });
        simd.vectorize(Load { layout, plain: self.y, stride, padded: y });
        let (kernel, bias) = term.split_at_mut(term.len() - layout.channels);
        simd.vectorize(PlainGradient { plain, images, x, y, kernel, bias });
    }
}
