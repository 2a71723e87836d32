//! Convolutions by direct sums.
//!
//! The sums run over channels-last copies of a few images at a time, in register tiles of pixels by
//! output channels; the copies never leave the cache.

use super::correlate::Correlate;
use super::gradient::WeightGradient;
use super::packing::Pass;
use super::plan::Plan;
use crate::context::Context;
use crate::layout::{Layout, Load, Slot, Store};
use crate::microbatch::Chunks;
use crate::schedule::{Ordered, Work, bytes_for, for_each_chunk};
use crate::scratch::Arena;
use crate::token::Token;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// Sets `y` to the convolution of `x`.
pub(super) fn value<T: Slot>(
    context: &Context,
    plan: &Plan,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [T],
) {
    let passes = [Pass::forward(plan)];
    let from = Side { layout: plan.x, image: plan.x_image() };
    let into = Side { layout: plan.y, image: plan.y_image() };
    correlate(context, plan, &passes, (weight, bias), (from, x), (into, y));
}

/// Sets `x` to the adjoint of `y`.
pub(super) fn adjoint<T: Slot>(
    context: &Context,
    plan: &Plan,
    y: &[f32],
    weight: &[f32],
    x: &mut [T],
) {
    let passes = Pass::adjoint(plan);
    let from = Side { layout: plan.y_padded, image: plan.y_image() };
    let into = Side { layout: plan.x_plain, image: plan.x_image() };
    correlate(context, plan, &passes, (weight, None), (from, y), (into, x));
}

/// Images on one side of a correlation.
#[derive(Clone, Copy)]
struct Side {
    /// Of one group, padded.
    layout: Layout,
    /// Floats of a plain image, of all groups.
    image: usize,
}

/// Correlates images chunk by chunk and group by group.
fn correlate<T: Slot>(
    context: &Context,
    plan: &Plan,
    passes: &[Pass],
    (weight, bias): (&[f32], Option<&[f32]>),
    (from, images): (Side, &[f32]),
    (into, results): (Side, &mut [T]),
) {
    let mut slab = context.scratch().lend(|arena| Packed::carve(arena, plan, passes));
    let mut packed = Packed::carve(&mut slab.arena(), plan, passes);
    packed.pack(plan, passes, weight, bias);
    let length = plan.chunk_images();
    let chunks = images.chunks(length * from.image);
    let chunks = chunks.zip(results.chunks_mut(length * into.image)).collect();
    let work = Images { length, passes, packed: &packed, from, into, slots: PhantomData };
    for_each_chunk(context, &work, chunks);
}

/// The packed weights of all groups' passes, and their biases with padding.
struct Packed<'m> {
    groups: Vec<Group<'m>>,
}

struct Group<'m> {
    /// Of every pass.
    weights: Vec<&'m mut [f32]>,
    bias: &'m mut [f32],
}

impl<'m> Packed<'m> {
    fn carve(arena: &mut Arena<'m>, plan: &Plan, passes: &[Pass]) -> Self {
        let depth = passes.iter().map(|pass| pass.depth).max().unwrap_or(0);
        let mut group = || Group {
            weights: passes.iter().map(|pass| arena.zeros(pass.weights_len())).collect(),
            bias: arena.zeros(depth),
        };
        Self { groups: plan.groups().map(|_| group()).collect() }
    }

    fn pack(&mut self, plan: &Plan, passes: &[Pass], weight: &[f32], bias: Option<&[f32]>) {
        for (index, group) in self.groups.iter_mut().enumerate() {
            for (pass, packed) in passes.iter().zip(&mut group.weights) {
                pass.pack(plan, index, weight, packed);
            }
            if let Some(bias) = bias {
                let channels = plan.y.channels;
                let bias = &bias[index * channels..(index + 1) * channels];
                group.bias[..channels].copy_from_slice(bias);
            }
        }
    }
}

/// All chunks of a batch through all groups' passes, into results that are numbers or not initialised.
struct Images<'a, 'c, T> {
    /// Images of a chunk.
    length: usize,
    passes: &'a [Pass],
    packed: &'a Packed<'a>,
    from: Side,
    into: Side,
    slots: PhantomData<fn(&'c mut T)>,
}

impl<'c, T: Slot> Work for Images<'_, 'c, T> {
    type Chunk = (&'c [f32], &'c mut [T]);
    /// Padded images of both sides.
    type Memory<'m> = (&'m mut [f32], &'m mut [f32]);

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Self::Memory<'m> {
        let mut padded = |side: Side| arena.zeros(self.length * side.layout.image);
        (padded(self.from), padded(self.into))
    }

    fn run(
        &self,
        token: Token,
        (padded_from, padded_into): &mut Self::Memory<'_>,
        _: usize,
        (from, into): Self::Chunk,
    ) {
        token.dispatch(Chunk { work: self, from, padded_from, into, padded_into });
    }
}

/// One chunk of images through all groups' passes.
struct Chunk<'a, 'b, 'c, T> {
    work: &'a Images<'b, 'c, T>,
    from: &'a [f32],
    padded_from: &'a mut [f32],
    into: &'a mut [T],
    padded_into: &'a mut [f32],
}

impl<T: Slot> WithSimd for Chunk<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Images { passes, packed, from, into, .. } = *self.work;
        let images = self.from.len() / from.image;
        for (index, group) in packed.groups.iter().enumerate() {
            let plain = &self.from[index * from.layout.plain_image()..];
            let (layout, padded) = (from.layout, &mut *self.padded_from);
            simd.vectorize(Load { layout, plain, stride: from.image, padded });
            for (pass, weights) in passes.iter().zip(&group.weights) {
                simd.vectorize(Correlate {
                    pass,
                    weights,
                    bias: group.bias,
                    images,
                    from: (&*self.padded_from, from.layout.image),
                    into: (&mut *self.padded_into, into.layout.image),
                });
            }
            let plain = &mut self.into[index * into.layout.plain_image()..];
            let (layout, padded) = (into.layout, &*self.padded_into);
            simd.vectorize(Store { layout, padded, plain, stride: into.image });
        }
    }
}

/// Adds the gradients with respect to weight and bias.
pub(super) fn gradient(
    context: &Context,
    plan: &Plan,
    x: &[f32],
    y: &[f32],
    weight: &mut [f32],
    bias: Option<&mut [f32]>,
) {
    let own = summed_chunks(context, plan);
    let x = own.split(x, plan.x_image()).into_iter();
    let chunks = x.zip(own.split(y, plan.y_image()));
    let sums = Ordered::new([[weight, bias.unwrap_or(&mut [])]]).in_microbatches(&own.ends);
    for_each_chunk(context, &Gradient { plan, sums }, chunks.collect());
}

/// Bytes of working memory of [`gradient`].
pub(super) fn scratch_bytes(context: &Context, plan: &Plan) -> usize {
    let chunks = summed_chunks(context, plan).images.len();
    bytes_for(context, &Gradient { plan, sums: Ordered::new([]) }, chunks)
}

/// The chunks of a batch for sums over its images.
fn summed_chunks(context: &Context, plan: &Plan) -> Chunks {
    Chunks::of(context.microbatches(), plan.shape.images, plan.chunk_images())
}

/// The gradients of all chunks of a batch.
struct Gradient<'a> {
    plan: &'a Plan,
    sums: Ordered<'a, 2>,
}

/// One thread's memory.
struct GradientMemory<'m> {
    x: &'m mut [f32],
    y: &'m mut [f32],
    /// `[kernel row][kernel column][input][output]` of one group, with padding.
    taps: &'m mut [f32],
    bias: &'m mut [f32],
    /// The chunk's share of the gradients with respect to weight and bias.
    term: &'m mut [f32],
}

impl<'a> Work for Gradient<'a> {
    type Chunk = (&'a [f32], &'a [f32]);
    type Memory<'m> = GradientMemory<'m>;

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> GradientMemory<'m> {
        let plan = self.plan;
        let (x, y, images) = (plan.x, plan.y, plan.chunk_images());
        let weights = plan.shape.outputs * x.channels * plan.taps();
        GradientMemory {
            x: arena.zeros(images * x.image),
            y: arena.zeros(images * y.image),
            taps: arena.zeros(plan.taps() * x.depth * y.depth),
            bias: arena.zeros(y.depth),
            term: arena.zeros(weights + plan.shape.outputs),
        }
    }

    fn run(
        &self,
        token: Token,
        memory: &mut GradientMemory<'_>,
        index: usize,
        (x, y): Self::Chunk,
    ) {
        token.dispatch(GradientChunk { plan: self.plan, memory, x, y });
        self.sums.commit(0, index, memory.term);
    }

    fn abandon(&self) {
        self.sums.abandon();
    }
}

/// One chunk's share of the gradients.
struct GradientChunk<'a, 'm> {
    plan: &'a Plan,
    memory: &'a mut GradientMemory<'m>,
    x: &'a [f32],
    y: &'a [f32],
}

impl WithSimd for GradientChunk<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, memory, .. } = self;
        let GradientMemory { x: padded_x, y: padded_y, taps, bias, term } = memory;
        let (x, y) = (plan.x, plan.y);
        let images = self.x.len() / plan.x_image();
        let (weights, biases) = term.split_at_mut(term.len() - plan.shape.outputs);
        for group in plan.groups() {
            let plain = &self.x[group * x.plain_image()..];
            let (stride, padded) = (plan.x_image(), &mut **padded_x);
            simd.vectorize(Load { layout: x, plain, stride, padded });
            let plain = &self.y[group * y.plain_image()..];
            let (stride, padded) = (plan.y_image(), &mut **padded_y);
            simd.vectorize(Load { layout: y, plain, stride, padded });
            taps.fill(0.0);
            bias.fill(0.0);
            simd.vectorize(WeightGradient {
                layouts: (x, y),
                kernel: plan.shape.kernel,
                stride: plan.shape.stride,
                images,
                x: padded_x,
                y: padded_y,
                weight: taps,
                bias,
            });
            let count = y.channels * x.channels * plan.taps();
            plan.unpack(taps, &mut weights[group * count..(group + 1) * count]);
            biases[group * y.channels..(group + 1) * y.channels]
                .copy_from_slice(&bias[..y.channels]);
        }
    }
}
